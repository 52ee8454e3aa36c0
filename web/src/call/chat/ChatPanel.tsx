import { type FormEvent, useState } from 'react'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import type { Conversation } from './Conversation'
import { FileLink } from './FileLink'
import { LONGEST_TEXT } from './message'

interface Props {
  conversation: Conversation
  nameOf: (participant: string) => string
}

/** What was said and sent beside the call, and a place to say more. */
export function ChatPanel({ conversation, nameOf }: Props) {
  const [text, setText] = useState('')
  const [trouble, setTrouble] = useState<'chat.failed' | 'chat.tooLarge' | null>(null)

  async function send(event: FormEvent) {
    event.preventDefault()
    try {
      await conversation.say(text)
      setText('')
      setTrouble(null)
    } catch {
      setTrouble('chat.failed')
    }
  }

  async function give(file: File | undefined) {
    if (!file) return
    try {
      setTrouble((await conversation.give(file.name, file)) ? null : 'chat.tooLarge')
    } catch {
      setTrouble('chat.failed')
    }
  }

  return (
    <section className="chat" aria-label={t('chat.title')}>
      <p className="small">{t('chat.about')}</p>
      <ol className="chat-log" aria-live="polite">
        {conversation.entries.map(({ id, sender, text: said, file }) => (
          <li key={id} className={sender === null ? 'chat-mine' : 'chat-theirs'}>
            <span className="small">{sender === null ? t('chat.mine') : nameOf(sender)}: </span>
            {file ? <FileLink file={file} /> : said}
          </li>
        ))}
      </ol>
      {trouble && <Notice tone="bad" title={t(trouble)} />}
      <form className="row" onSubmit={(event) => void send(event)}>
        <Field
          label={t('chat.message')}
          value={text}
          maxLength={LONGEST_TEXT}
          onChange={(event) => setText(event.target.value)}
        />
        <Button type="submit">{t('chat.send')}</Button>
      </form>
      <Field
        label={t('chat.file')}
        type="file"
        onChange={(event) => {
          void give(event.target.files?.[0])
          event.target.value = ''
        }}
      />
    </section>
  )
}
