import { useEffect } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import type { Clinic, Hold } from '../api/types'
import { useNow } from '../design/useNow'
import { t } from '../i18n/text'
import { countdownText } from '../i18n/time'
import { VisitFacts } from './VisitFacts'

interface Props {
  clinic: Clinic
  hold: Hold
  lost: boolean
  onExpired: () => void
}

const LAST_MINUTE_MS = 60_000

/** What is being booked, and for how long it is kept free. */
export function HeldTime({ clinic, hold, lost, onExpired }: Props) {
  const { clockOffsetMs } = useClinicApi()
  const now = useNow(500)
  const remainingMs = Date.parse(hold.expiresAt) - (now + clockOffsetMs)
  const over = remainingMs <= 0

  useEffect(() => {
    if (over && !lost) onExpired()
  }, [over, lost, onExpired])

  return (
    <section className="card stack" aria-label={t('details.held')}>
      <VisitFacts clinicZone={clinic.timeZone} visit={hold} />
      {!lost && !over && (
        <p className="held" role="timer">
          {t('details.heldFor', { time: countdownText(remainingMs) })}
        </p>
      )}
      <p className="unseen" role="status">
        {!lost && !over && remainingMs < LAST_MINUTE_MS && t('details.lastMinute')}
      </p>
    </section>
  )
}
