import { t } from '../i18n/text'
import { clocksDiffer, readerZone, timeText, zoneText } from '../i18n/time'

/** Whose clock the page shows; and the clinic's, when a look at the wall there would show another time. */
export function ZoneNote({ clinicZone }: { clinicZone: string }) {
  const zone = readerZone()
  const now = Date.now()
  if (!clocksDiffer(zone, clinicZone, now))
    return <p className="soft">{t('zone.yours', { zone: zoneText(zone) })}</p>
  return (
    <p className="zone-note">
      {t('zone.yours', { zone: zoneText(zone) })}{' '}
      {t('zone.clinic', {
        zone: zoneText(clinicZone),
        there: timeText(now, clinicZone),
        here: timeText(now, zone),
      })}
    </p>
  )
}
