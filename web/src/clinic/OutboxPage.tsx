import { useCallback } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasStatus } from '../api/problem'
import { useLoaded } from '../api/useLoaded'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { dayOf, dayText, timeText } from '../i18n/time'
import { StaffPage } from './StaffPage'
import { useStaff } from './staff'

const POLL_MS = 4000

/** The demo network's post office: messages that a real one would have sent. */
export function OutboxPage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const zone = session.clinic.timeZone
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/messages/outbox', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error } = useLoaded(load, { everyMs: POLL_MS })
  const refused = hasStatus(error, 404) || hasStatus(error, 403)
  return (
    <StaffPage title={t('outbox.title')}>
      <p className="soft">{t('outbox.body')}</p>
      {refused && <Notice title={t('outbox.none')} />}
      {error !== null && !refused && !hasStatus(error, 401) && (
        <Notice tone="warm" title={t('network.retrying')} />
      )}
      {!data && error === null && <Loading />}
      {data?.messages.length === 0 && <p>{t('outbox.empty')}</p>}
      <ul className="stack messages">
        {data?.messages.map((message) => (
          <li key={message.id} className="card stack close">
            <h2>{message.subject}</h2>
            <p className="soft small">
              {t('outbox.to', {
                to: message.to,
                day: dayText(dayOf(message.createdAt, zone)),
                time: timeText(message.createdAt, zone),
              })}
            </p>
            <p className="message-body">{message.body}</p>
            {message.link && (
              <p>
                <a className="button" href={message.link} target="_blank" rel="noreferrer">
                  {t('outbox.open')}
                </a>
              </p>
            )}
          </li>
        ))}
      </ul>
    </StaffPage>
  )
}
