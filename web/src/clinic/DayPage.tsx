import { useClinicApi } from '../api/ClinicApi'
import { hasStatus } from '../api/problem'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { useNow } from '../design/useNow'
import { plural, t } from '../i18n/text'
import { type Day, dayOf, dayText, timeText, zoneText } from '../i18n/time'
import { DayNav } from './DayNav'
import { InCallNow } from './InCallNow'
import { MissingInterpreters } from './MissingInterpreters'
import { StaffPage } from './StaffPage'
import { hasRole, useStaff } from './staff'
import { inCallOf, useDay, waitingOf } from './useDay'
import { VisitList } from './VisitList'
import { WaitingNow } from './WaitingNow'

const POLL_MS = 3000

/** The front desk's board: who waits, and the day's visits. `null` is today, whichever day that becomes. */
export function DayPage({ day }: { day: Day | null }) {
  const { clinic } = useClinicApi()
  const { session } = useStaff()
  const zone = session.clinic.timeZone
  const now = useNow(10_000)
  const today = dayOf(now, zone)
  const shown = day ?? today
  const { data, error, reload } = useDay(shown, POLL_MS)
  const waiting = waitingOf(data?.appointments ?? [])
  const inCall = inCallOf(data?.appointments ?? [])
  const title = shown === today ? t('day.today', { day: dayText(shown) }) : dayText(shown)
  const count = waiting.length
  return (
    <StaffPage
      title={title}
      subtitle={t('day.clock', { time: timeText(now, zone), zone: zoneText(zone) })}
      tabTitle={count > 0 ? `(${count}) ${plural('clinic.waiting.count', count)}` : title}
      beside={
        <div className="row">
          {hasRole(session, 'front-desk') && (
            // The patients' own page, in a tab beside the board.
            <a className="button" href={`/c/${clinic}`} target="_blank" rel="noreferrer">
              {t('day.book')}
            </a>
          )}
          <DayNav base={`/clinic/${clinic}`} day={shown} today={today} />
        </div>
      }
    >
      {error !== null && !hasStatus(error, 401) && <Notice tone="warm" title={t('network.retrying')} />}
      {!data && error === null && <Loading />}
      {data && (
        <>
          <WaitingNow waiting={waiting} day={shown} zone={zone} now={now} />
          {hasRole(session, 'front-desk', 'nurse', 'doctor') && <MissingInterpreters />}
          {inCall.length > 0 && <InCallNow inCall={inCall} day={shown} zone={zone} now={now} />}
          <VisitList
            appointments={data.appointments}
            day={shown}
            zone={zone}
            now={now}
            onChanged={() => void reload()}
          />
        </>
      )}
    </StaffPage>
  )
}
