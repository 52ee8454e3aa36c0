import type { Visit } from '../api/types'
import { DeviceCheck } from '../call/DeviceCheck'
import type { DeviceChoice } from '../call/devices'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { dayOf, dayText, readerZone, timeText } from '../i18n/time'
import { RecordAccess } from './RecordAccess'
import { RunningLate } from './RunningLate'
import { VisitFacts } from './VisitFacts'
import { VisitInvoice } from './VisitInvoice'

interface Props {
  visit: Visit
  joining: boolean
  onReady: (choice: DeviceChoice) => void
}

const EARLY_MS = 30 * 60_000

/** Which visit this is, and whether camera and microphone work. */
export function BeforeVisit({ visit, joining, onReady }: Props) {
  const zone = readerZone()
  const { start, end } = visit.appointment
  const early = Date.parse(start) - Date.now() > EARLY_MS
  const facts = { start, end, practitioner: visit.practitioner, service: visit.service }
  return (
    <>
      <section className="card" aria-label={t('visit.facts')}>
        <VisitFacts clinicZone={visit.clinic.timeZone} visit={facts} />
      </section>
      {visit.clinicLateMinutes && (
        <Notice tone="warm" title={t('late.clinic', { count: visit.clinicLateMinutes })} />
      )}
      {!early && visit.appointment.status === 'booked' && <RunningLate />}
      {early && (
        <Notice>
          <p>{t('visit.early', { day: dayText(dayOf(start, zone)), time: timeText(start, zone) })}</p>
        </Notice>
      )}
      <section className="stack">
        <h2>{t('devices.title')}</h2>
        <DeviceCheck joining={joining} onReady={onReady} />
      </section>
      <VisitInvoice />
      <RecordAccess />
    </>
  )
}
