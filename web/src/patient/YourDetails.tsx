import { useEffect } from 'react'
import type { Clinic, Hold } from '../api/types'
import { Button } from '../design/Button'
import { t } from '../i18n/text'
import { readerZone } from '../i18n/time'
import { SetbackNotice } from '../times/SetbackNotice'
import { DetailsForm } from './DetailsForm'
import type { Details } from './details'
import { HeldTime } from './HeldTime'
import { PayByCard } from './PayByCard'
import type { Booking } from './useBooking'
import { useKnownPatient } from './useKnownPatient'
import { usePaymentOptions } from './usePaymentOptions'

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
  const known = useKnownPatient()
  const options = usePaymentOptions()
  const byCard = options.card !== null
  const held = { start: hold.start, end: hold.end, practitioner: hold.practitioner }

  useEffect(() => {
    if (setback?.kind === 'gone') history.back()
  }, [setback])

  return (
    <div className="stack wide">
      <HeldTime clinic={clinic} hold={hold} lost={lost} onExpired={expire} />
      <SetbackNotice
        setback={setback}
        zone={readerZone()}
        onTake={(slot, location) => void take(hold.service.id, slot, { location })}
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
      {booking.card && (
        <PayByCard
          payment={booking.card}
          setback={booking.paymentSetback}
          blocked={lost}
          onPaid={booking.checkPayment}
        />
      )}
      {known && !lost && !booking.card && (
        <section className="card stack">
          <p>{t('account.asKnown.body')}</p>
          <Button
            look="primary"
            size="full"
            busy={booking.confirming}
            onClick={() => {
              onChange({ ...details, email: known.email ?? '' })
              void (byCard ? booking.payKnown() : booking.confirmKnown())
            }}
          >
            {t('account.asKnown', { name: known.patient })}
          </Button>
        </section>
      )}
      {!booking.card && (
        <DetailsForm
          details={details}
          blocked={lost}
          busy={booking.confirming}
          options={options}
          onChange={onChange}
          onSubmit={(card) => void (card ? booking.payByCard(details) : booking.confirm(details))}
        />
      )}
      <Button look="plain" onClick={() => history.back()}>
        {t('details.otherTime')}
      </Button>
    </div>
  )
}
