import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { MessageWork } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { dayOf, dayText, timeText } from '../../i18n/time'
import { MissingInterpreters } from '../MissingInterpreters'
import { StaffPage } from '../StaffPage'
import { hasRole, useStaff } from '../staff'
import { CorrectContact } from './CorrectContact'
import { MessageSettingsForm } from './MessageSettingsForm'
import { MissingList } from './MissingList'

const POLL_MS = 10_000

/** Messages that did not go out, or of which nobody knows: each is for somebody to see to. */
export function MessageWorkPage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/messages/work', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load, { everyMs: POLL_MS })
  const [failed, setFailed] = useState(false)

  async function resolve(id: string, action: 'resend' | 'close') {
    const params = { path: { clinic, id } }
    const done = body(api.POST('/c/{clinic}/messages/work/{id}', { params, body: { action } }))
    setFailed(!(await done.then(() => true).catch(() => false)))
    await reload()
  }

  return (
    <StaffPage title={t('messageWork.title')}>
      {hasRole(session, 'front-desk') && <MissingInterpreters />}
      <p className="soft">{t('messageWork.body')}</p>
      {failed && <Notice tone="bad" title={t('messageWork.failed')} />}
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data?.messages.length === 0 && <p>{t('messageWork.empty')}</p>}
      {data?.more && <Notice tone="warm" title={t('messageWork.more')} />}
      <ul className="stack">
        {data?.messages.map((message) => (
          <MessageItem
            key={message.id}
            message={message}
            zone={data.timeZone}
            resolve={resolve}
            reload={reload}
          />
        ))}
      </ul>
      <MissingList />
      {hasRole(session, 'clinic-admin') && <MessageSettingsForm />}
    </StaffPage>
  )
}

interface Props {
  message: MessageWork
  zone: string
  resolve: (id: string, action: 'resend' | 'close') => Promise<void>
  reload: () => Promise<void>
}

function MessageItem({ message, zone, resolve, reload }: Props) {
  const [busy, setBusy] = useState(false)
  const [correcting, setCorrecting] = useState(false)
  async function act(action: 'resend' | 'close') {
    setBusy(true)
    await resolve(message.id, action)
    setBusy(false)
  }
  return (
    <li className="card stack close">
      <div className="row spread">
        <h2>{message.to}</h2>
        <span className="chip warm">{t(`messageWork.state.${message.state}`)}</span>
      </div>
      <p>{t(message.cameBack ? 'messageWork.cameBack' : `messageWork.why.${message.state}`)}</p>
      <p className="soft small">
        {t('messageWork.written', {
          day: dayText(dayOf(message.createdAt, zone)),
          time: timeText(message.createdAt, zone),
        })}
        {message.reason !== null && ` · ${message.reason}`}
      </p>
      <div className="row">
        {!message.cameBack && (
          <Button
            disabled={busy}
            aria-label={`${t('messageWork.resend')}: ${message.to}`}
            onClick={() => void act('resend')}
          >
            {t('messageWork.resend')}
          </Button>
        )}
        {message.appointment !== null && (
          <Button
            aria-expanded={correcting}
            aria-label={`${t('messageWork.correct')}: ${message.to}`}
            onClick={() => setCorrecting(!correcting)}
          >
            {t('messageWork.correct')}
          </Button>
        )}
        <Button
          disabled={busy}
          look="plain"
          aria-label={`${t('messageWork.close')}: ${message.to}`}
          onClick={() => void act('close')}
        >
          {t('messageWork.close')}
        </Button>
      </div>
      {correcting && message.appointment !== null && (
        <CorrectContact appointment={message.appointment} onSaved={reload} />
      )}
    </li>
  )
}
