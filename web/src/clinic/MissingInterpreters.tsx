import { useCallback, useState } from 'react'
import { pollHeaders } from '../api/attendance'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { languageName } from '../i18n/languages'
import { t } from '../i18n/text'
import { dayOf, dayText, timeText } from '../i18n/time'
import { InviteGuest } from './InviteGuest'

const POLL_MS = 30_000

/** What is still to be done: visits to come for which nobody has been asked to interpret. */
export function MissingInterpreters() {
  const { api, clinic } = useClinicApi()
  const [inviting, setInviting] = useState<string | null>(null)
  const load = useCallback(() => {
    const params = { path: { clinic } }
    return body(api.GET('/c/{clinic}/scheduling/interpreters', { params, headers: pollHeaders() }))
  }, [api, clinic])
  const { data, reload } = useLoaded(load, { everyMs: POLL_MS })
  if ((!data || data.visits.length === 0) && inviting === null) return null
  return (
    <section className="card stack close" aria-labelledby="interpreters-heading">
      <h2 id="interpreters-heading">{t('interpreters.work')}</h2>
      <ul className="stack tight">
        {data?.visits.map((visit) => (
          <li key={visit.appointment} className="row spread">
            <span>
              <strong className="person">{visit.patient.name}</strong>{' '}
              <span className="chip warm">{languageName(visit.language)}</span>{' '}
              <span className="soft small">
                {dayText(dayOf(visit.start, data.timeZone))}, {timeText(visit.start, data.timeZone)} ·{' '}
                {visit.practitioner.name}
              </span>
            </span>
            <Button
              aria-label={t('interpreters.invite.name', { name: visit.patient.name })}
              onClick={() => setInviting(visit.appointment)}
            >
              {t('interpreters.invite')}
            </Button>
          </li>
        ))}
      </ul>
      {data?.more && <p className="soft">{t('interpreters.more')}</p>}
      {inviting && (
        <InviteGuest
          appointment={inviting}
          onInvited={() => void reload()}
          onClose={() => setInviting(null)}
        />
      )}
    </section>
  )
}
