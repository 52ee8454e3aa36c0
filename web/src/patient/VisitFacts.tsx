import { t } from '../i18n/text'
import { clocksDiffer, dayOf, dayText, readerZone, timeText, zoneText } from '../i18n/time'

interface Props {
  clinicZone: string
  visit: { start: string; end: string; practitioner: { name: string }; service: { name: string } }
}

/** When, with whom and what for: in the reader's time, with the clinic's beside it when that is another. */
export function VisitFacts({ clinicZone, visit }: Props) {
  const zone = readerZone()
  const { start, end } = visit
  return (
    <dl className="facts">
      <dt>{t('visit.when')}</dt>
      <dd>
        {dayText(dayOf(start, zone))}, {timeText(start, zone)}–{timeText(end, zone)}
        {clocksDiffer(zone, clinicZone, start) && (
          <span className="choice-more">
            {t('zone.atClinic', { time: timeText(start, clinicZone), zone: zoneText(clinicZone) })}
          </span>
        )}
      </dd>
      <dt>{t('visit.with')}</dt>
      <dd>{visit.practitioner.name}</dd>
      <dt>{t('visit.for')}</dt>
      <dd>{visit.service.name}</dd>
    </dl>
  )
}
