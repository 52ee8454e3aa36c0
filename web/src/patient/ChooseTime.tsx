import { useState } from 'react'
import type { Clinic } from '../api/types'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { Times } from '../times/Times'
import { PractitionerChoice } from './PractitionerChoice'
import { ServiceChoice } from './ServiceChoice'
import type { Booking } from './useBooking'

/** Which service, with whom, and when. */
export function ChooseTime({ clinic, booking }: { clinic: Clinic; booking: Booking }) {
  const [service, setService] = useState(clinic.services[0]?.id ?? '')
  const [practitioner, setPractitioner] = useState('')

  if (clinic.open === false) return <Notice title={t('booking.notOpen')} />
  if (clinic.services.length === 0) return <Notice title={t('booking.noServices')} />

  return (
    <div className="booking">
      <div className="booking-side stack wide">
        <ServiceChoice services={clinic.services} chosen={service} onChoose={setService} />
        {clinic.practitioners.length > 1 && (
          <PractitionerChoice
            people={clinic.practitioners}
            chosen={practitioner}
            onChoose={setPractitioner}
          />
        )}
      </div>
      <section className="card stack" aria-labelledby="times-heading">
        <h2 id="times-heading">{t('booking.times')}</h2>
        <Times
          service={service}
          practitioner={practitioner}
          clinicZone={clinic.timeZone}
          setback={booking.setback}
          holding={booking.holding}
          onTake={(slot, location) => booking.take(service, slot, { anyone: practitioner === '', location })}
        />
      </section>
    </div>
  )
}
