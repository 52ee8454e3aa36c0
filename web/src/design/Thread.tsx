import { type SyntheticEvent, useId, useState } from 'react'
import type { ThreadMessage } from '../api/types'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { dayOf, dayText, timeText } from '../i18n/time'

interface Props {
  messages: ThreadMessage[]
  zone: string
  /** Whose own messages stand to the right. */
  own: 'staff' | 'patient'
  /** False: it was not sent, and the text stays. */
  send: (text: string) => Promise<boolean>
}

/** What a patient and the clinic have written to each other, and a place to go on. */
export function Thread({ messages, zone, own, send }: Props) {
  const [text, setText] = useState('')
  const [busy, setBusy] = useState(false)
  const [failed, setFailed] = useState(false)
  const id = useId()

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy || text.trim() === '') return
    setBusy(true)
    const sent = await send(text)
    setFailed(!sent)
    if (sent) setText('')
    setBusy(false)
  }

  return (
    <div className="stack">
      {messages.length === 0 && <p>{t('thread.empty')}</p>}
      <ol className="stack" aria-label={t('thread.list')}>
        {messages.map((message) => (
          <li key={message.id} className="card stack tight">
            <p className="soft small">
              {authorOf(message, own)} · {dayText(dayOf(message.sentAt, zone))},{' '}
              {timeText(message.sentAt, zone)}
            </p>
            <p className="message-body" dir="auto">
              {message.text}
            </p>
          </li>
        ))}
      </ol>
      <form className="stack" onSubmit={submit} noValidate>
        {failed && <Notice tone="bad" title={t('thread.failed')} />}
        <div className="field">
          <label htmlFor={id}>{t('thread.text')}</label>
          <textarea
            id={id}
            className="input"
            rows={4}
            maxLength={4000}
            dir="auto"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </div>
        <div className="row">
          <Button look="primary" type="submit" disabled={busy || text.trim() === ''}>
            {t('thread.send')}
          </Button>
        </div>
      </form>
    </div>
  )
}

function authorOf(message: ThreadMessage, own: 'staff' | 'patient'): string {
  if (message.author !== null) return message.author
  return own === 'patient' ? t('thread.you') : t('thread.patient')
}
