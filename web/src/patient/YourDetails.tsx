import { useEffect } from 'react'
import type { Clinic, Hold } from '../api/types'
import { Button } from '../design/Button'
import { t } from '../i18n/text'
import { readerZone } from '../i18n/time'
import { DetailsForm } from './DetailsForm'
import type { Details } from './details'
import { HeldTime } from './HeldTime'
import { SetbackNotice } from './SetbackNotice'
import type { Booking } from './useBooking'

interface Props {
  clinic: Clinic
  booking: Booking
  hold: Hold
  details: Details
  onChange: (details: Details) => void
}

/** The held time, its countdown, and the short form. */
export function YourDetails({ clinic, booking, hold, details, onChange }: Props) {
  const { setback, take, expire } = booking
  const lost = setback?.kind === 'expired' || setback?.kind === 'taken'
  const held = { start: hold.start, end: hold.end, practitioner: hold.practitioner }

  useEffect(() => {
    if (setback?.kind === 'gone') history.back()
  }, [setback])

  return (
    <div className="stack wide">
      <HeldTime clinic={clinic} hold={hold} lost={lost} onExpired={expire} />
      <SetbackNotice
        booking={booking}
        zone={readerZone()}
        onTake={(slot) => void take(hold.service.id, slot)}
      />
      {setback?.kind === 'expired' && (
        <Button
          look="primary"
          busy={booking.holding !== null}
          onClick={() => void take(hold.service.id, held)}
        >
          {t('details.holdAgain')}
        </Button>
      )}
      <DetailsForm
        details={details}
        blocked={lost}
        busy={booking.confirming}
        onChange={onChange}
        onSubmit={() => void booking.confirm(details)}
      />
      <Button look="plain" onClick={() => history.back()}>
        {t('details.otherTime')}
      </Button>
    </div>
  )
}
