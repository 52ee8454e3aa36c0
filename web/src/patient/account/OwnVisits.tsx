import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { OwnVisit } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { dayOf, dayText, readerZone, timeText } from '../../i18n/time'
import { Link } from '../../Link'

export function OwnVisits({ mayJoin }: { mayJoin: boolean }) {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/scheduling/own-visits', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error } = useLoaded(load)
  if (!data) return error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />
  const coming = data.visits.filter(isOpen).reverse()
  const past = data.visits.filter((visit) => !isOpen(visit))
  return (
    <>
      {data.visits.length === 0 && <p className="soft">{t('account.none')}</p>}
      <VisitSection title={t('account.coming')} visits={coming} mayJoin={mayJoin} />
      <VisitSection title={t('account.past')} visits={past} mayJoin={false} />
    </>
  )
}

interface SectionProps {
  title: string
  visits: OwnVisit[]
  mayJoin: boolean
}

function VisitSection({ title, visits, mayJoin }: SectionProps) {
  const { clinic } = useClinicApi()
  const zone = readerZone()
  if (visits.length === 0) return null
  return (
    <section className="card stack">
      <h2>{title}</h2>
      <ul className="rows">
        {visits.map((visit) => {
          const day = dayText(dayOf(visit.start, zone))
          const time = timeText(visit.start, zone)
          return (
            <li key={visit.id} className="row spread">
              <span className="stack tight">
                <strong>
                  {day}, {time}
                </strong>
                <span className="soft small">
                  {visit.service.name} · {visit.practitioner.name} · {t(`account.status.${visit.status}`)}
                </span>
              </span>
              {mayJoin && (
                <Link
                  className="button"
                  href={`/c/${clinic}/account/visit/${visit.id}`}
                  aria-label={t('account.join.name', { day, time })}
                >
                  {t('account.join')}
                </Link>
              )}
            </li>
          )
        })}
      </ul>
    </section>
  )
}

function isOpen({ status }: OwnVisit): boolean {
  return status === 'booked' || status === 'arrived'
}
