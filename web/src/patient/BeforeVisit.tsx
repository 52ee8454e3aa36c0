import { hasStatus } from '../api/problem'
import type { Visit } from '../api/types'
import { DeviceCheck } from '../call/DeviceCheck'
import type { DeviceChoice } from '../call/devices'
import { AgreedNotice } from '../consent/AgreedNotice'
import { Agreement } from '../consent/Agreement'
import type { Consent, ConsentText } from '../consent/useConsent'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { dayOf, dayText, readerZone, timeText } from '../i18n/time'
import { IntakeCard } from '../intake/IntakeCard'
import type { Intake } from '../intake/useIntake'
import { OpenInBrowser } from './OpenInBrowser'
import { RecordAccess } from './RecordAccess'
import { RunningLate } from './RunningLate'
import { VisitFacts } from './VisitFacts'
import { VisitInvoice } from './VisitInvoice'

interface Props {
  visit: Visit
  intake: Intake
  consent: Consent
  joining: boolean
  /** With what was agreed to by going on. */
  onReady: (choice: DeviceChoice, agreed: readonly ConsentText[]) => void
}

const EARLY_MS = 30 * 60_000

/** Which visit this is, and whether camera and microphone work. */
export function BeforeVisit({ visit, intake, consent, joining, onReady }: Props) {
  const zone = readerZone()
  const { start, end } = visit.appointment
  const early = Date.parse(start) - Date.now() > EARLY_MS
  const { kept } = intake.state
  const mustAnswer =
    kept?.required === true && !kept.done && !kept.closed && visit.appointment.status === 'booked'
  const texts = consent.data?.missing ? consent.data.texts : []
  // Nobody goes on before they were shown what they agree to; a host of the release before has nothing to show.
  const known = consent.data !== null || hasStatus(consent.error, 404)
  const facts = { start, end, practitioner: visit.practitioner, service: visit.service }
  return (
    <>
      <OpenInBrowser />
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
      <IntakeCard intake={intake} />
      {texts.length > 0 && <Agreement texts={texts} />}
      <section className="stack">
        <h2>{t('devices.title')}</h2>
        {mustAnswer ? (
          <p>{t('intake.first')}</p>
        ) : (
          <DeviceCheck
            joining={joining || !known}
            agreeing={texts.length > 0}
            onReady={(choice) => onReady(choice, texts)}
          />
        )}
      </section>
      <AgreedNotice consent={consent} />
      <VisitInvoice />
      <RecordAccess />
    </>
  )
}
