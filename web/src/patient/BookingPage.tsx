import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { usePlace } from '../routing'
import { Booked } from './Booked'
import { ChooseTime } from './ChooseTime'
import { type Details, EMPTY } from './details'
import { DETAILS_STEP, useBooking } from './useBooking'
import { YourDetails } from './YourDetails'
import './booking.css'

/** From a service to a booked visit: choose a time, say who you are, done. */
export function BookingPage() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/scheduling/clinic', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const about = useLoaded(load)
  const booking = useBooking()
  // Kept here so that a lost hold does not lose what was typed.
  const [details, setDetails] = useState<Details>(EMPTY)
  const { hash } = usePlace()

  if (!about.data) {
    return (
      <Page name={t('product.name')} title={t('booking.title')}>
        {about.error ? (
          <Notice tone="bad" title={t('network.unreachable')}>
            <Button onClick={() => void about.reload()}>{t('page.tryAgain')}</Button>
          </Notice>
        ) : (
          <Loading />
        )}
      </Page>
    )
  }
  const { name } = about.data
  if (booking.confirmation && booking.hold) {
    return (
      <Page name={name} title={t('booking.sent.title')} narrow>
        <Booked
          clinic={about.data}
          hold={booking.hold}
          confirmation={booking.confirmation}
          email={details.email}
          paid={booking.card ? (booking.card.kind === 'setup' ? 'saved' : 'authorised') : 'pay'}
        />
      </Page>
    )
  }
  if (booking.hold && `#${hash}` === DETAILS_STEP) {
    return (
      <Page name={name} title={t('details.title')} narrow>
        <YourDetails
          clinic={about.data}
          booking={booking}
          hold={booking.hold}
          details={details}
          onChange={setDetails}
        />
      </Page>
    )
  }
  return (
    <Page name={name} title={t('booking.title')}>
      <ChooseTime clinic={about.data} booking={booking} />
    </Page>
  )
}
