import { useEffect, useState } from 'react'
import { t } from '../../i18n/text'
import type { Entry } from './Conversation'

/** A file that can be saved, and is let go of with the conversation. */
export function FileLink({ file }: { file: NonNullable<Entry['file']> }) {
  const [url, setUrl] = useState<string>()
  useEffect(() => {
    const made = URL.createObjectURL(file.content)
    setUrl(made)
    return () => URL.revokeObjectURL(made)
  }, [file])
  return (
    <a href={url} download={file.name}>
      {t('chat.save', { name: file.name })}
    </a>
  )
}
