import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { dayOf, dayText, timeText } from '../../i18n/time'
import { Link } from '../../Link'
import { StaffPage } from '../StaffPage'

const POLL_MS = 10_000

/** Whom the clinic and patients write to each other with; who waits for an answer first. */
export function ConversationsPage() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/messages/threads', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error } = useLoaded(load, { everyMs: POLL_MS })
  return (
    <StaffPage title={t('threads.title')}>
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data?.threads.length === 0 && <p>{t('threads.empty')}</p>}
      <ul className="stack">
        {data?.threads.map((thread) => (
          <li key={thread.appointment} className="card stack close">
            <div className="row spread">
              <h2>
                <Link href={`/clinic/${clinic}/conversations/${thread.appointment}`}>{thread.patient}</Link>
              </h2>
              {thread.waits && <span className="chip warm">{t('threads.waits')}</span>}
            </div>
            <p className="soft small">
              {dayText(dayOf(thread.lastAt, data.timeZone))}, {timeText(thread.lastAt, data.timeZone)}
            </p>
          </li>
        ))}
      </ul>
    </StaffPage>
  )
}
