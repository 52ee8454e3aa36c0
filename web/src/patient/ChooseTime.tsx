import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Clinic, Slot } from '../api/types'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { addDays, dayOf, readerZone } from '../i18n/time'
import { FreeTimes } from './FreeTimes'
import { DAYS_SHOWN, groupByDay, window } from './freeTimes'
import { PractitionerChoice } from './PractitionerChoice'
import { ServiceChoice } from './ServiceChoice'
import { SetbackNotice } from './SetbackNotice'
import type { Booking } from './useBooking'
import { ZoneNote } from './ZoneNote'

/** Which service, with whom, and when. */
export function ChooseTime({ clinic, booking }: { clinic: Clinic; booking: Booking }) {
  const { api, clinic: id } = useClinicApi()
  const zone = readerZone()
  const [today] = useState(() => dayOf(Date.now(), zone))
  const [first, setFirst] = useState(today)
  const [service, setService] = useState(clinic.services[0]?.id ?? '')
  const [practitioner, setPractitioner] = useState('')

  const load = useCallback(async () => {
    const query = {
      service,
      ...window(first, dayOf(Date.now(), clinic.timeZone)),
      ...(practitioner ? { practitioner } : {}),
    }
    return body(api.GET('/c/{clinic}/scheduling/slots', { params: { path: { clinic: id }, query } }))
  }, [api, id, service, practitioner, first, clinic.timeZone])
  const times = useLoaded(service ? load : null)

  if (clinic.services.length === 0) return <Notice title={t('booking.noServices')} />

  // Somebody else's booking is news about all times, not only about the one that was wanted.
  async function take(slot: Slot) {
    await booking.take(service, slot)
    void times.reload()
  }

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
        <ZoneNote clinicZone={clinic.timeZone} />
        <SetbackNotice booking={booking} zone={zone} onTake={take} />
        {times.error !== null && (
          <Notice tone="bad" title={t('network.unreachable')}>
            <Button onClick={() => void times.reload()}>{t('page.tryAgain')}</Button>
          </Notice>
        )}
        {!times.data && times.error === null && <Loading label={t('booking.looking')} />}
        {times.data && (
          <FreeTimes
            key={first}
            days={groupByDay(times.data.slots, first, zone)}
            zone={zone}
            holding={booking.holding}
            onTake={take}
          />
        )}
        <div className="row spread">
          <Button
            look="plain"
            disabled={first <= today}
            onClick={() => setFirst(addDays(first, -DAYS_SHOWN))}
          >
            {t('booking.earlier')}
          </Button>
          <Button look="plain" onClick={() => setFirst(addDays(first, DAYS_SHOWN))}>
            {t('booking.later')}
          </Button>
        </div>
      </section>
    </div>
  )
}
