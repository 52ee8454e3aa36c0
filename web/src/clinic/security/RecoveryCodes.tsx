import { useState } from 'react'
import { Button } from '../../design/Button'
import { t } from '../../i18n/text'

interface Props {
  codes: string[]
  onKept: () => Promise<void>
}

/** Shown once: whoever goes on says that they are kept. */
export function RecoveryCodes({ codes, onKept }: Props) {
  const [copied, setCopied] = useState(false)
  const text = codes.join('\n')

  async function copy() {
    await navigator.clipboard.writeText(text)
    setCopied(true)
  }

  return (
    <div className="stack">
      <div className="stack tight">
        <h2>{t('recovery.title')}</h2>
        <p className="soft">{t('recovery.body')}</p>
      </div>
      <ol className="recovery-codes">
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ol>
      <div className="row">
        <Button onClick={() => void copy()}>{t(copied ? 'recovery.copied' : 'recovery.copy')}</Button>
        <a
          className="button"
          href={`data:text/plain;charset=utf-8,${encodeURIComponent(`${text}\n`)}`}
          download="locum-recovery-codes.txt"
        >
          {t('recovery.download')}
        </a>
      </div>
      <Button look="primary" size="full" onClick={() => void onKept()}>
        {t('recovery.kept')}
      </Button>
    </div>
  )
}
