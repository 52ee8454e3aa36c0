import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { plural, t } from '../../i18n/text'
import { dayOf, dayText, timeText } from '../../i18n/time'

const POLL_MS = 30_000

/** What is still missing before the visits of the next two days. What was done is gone at the next look. */
export function MissingList() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/messages/missing', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error } = useLoaded(load, { everyMs: POLL_MS })
  return (
    <section className="stack" aria-labelledby="missing">
      <h2 id="missing">{t('missing.title')}</h2>
      <p className="soft">{t('missing.body')}</p>
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data?.visits.length === 0 && <p>{t('missing.empty')}</p>}
      {data?.more && <Notice tone="warm" title={t('missing.more')} />}
      <ul className="stack">
        {data?.visits.map((visit) => (
          <li key={visit.id} className="card stack close">
            <div className="row spread">
              <h3>{visit.patient}</h3>
              <span>
                {dayText(dayOf(visit.start, data.timeZone))}, {timeText(visit.start, data.timeZone)}
              </span>
            </div>
            <div className="row">
              {visit.missing.map((thing) => (
                <span key={thing} className="chip warm">
                  {t(`missing.${thing}`)}
                </span>
              ))}
            </div>
            <p className="soft small">{plural('missing.attempts', visit.attempts)}</p>
          </li>
        ))}
      </ul>
    </section>
  )
}
