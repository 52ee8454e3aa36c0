import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Slot } from '../api/types'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { addDays, dayOf, readerZone } from '../i18n/time'
import { FreeTimes } from './FreeTimes'
import { DAYS_SHOWN, groupByDay, window } from './freeTimes'
import { SetbackNotice } from './SetbackNotice'
import type { Setback } from './useHold'
import { ZoneNote } from './ZoneNote'
import './times.css'

interface Props {
  service: string
  /** Empty: whoever is free. */
  practitioner: string
  clinicZone: string
  setback: Setback | null
  /** Start of the slot that is being held right now. */
  holding: string | null
  onTake: (slot: Slot, location?: string) => Promise<unknown>
}

/** The free times of a service, week by week. */
export function Times({ service, practitioner, clinicZone, setback, holding, onTake }: Props) {
  const { api, clinic } = useClinicApi()
  const zone = readerZone()
  const [today] = useState(() => dayOf(Date.now(), zone))
  const [first, setFirst] = useState(today)

  const load = useCallback(async () => {
    const query = {
      service,
      ...window(first, dayOf(Date.now(), clinicZone)),
      ...(practitioner ? { practitioner } : {}),
    }
    return body(api.GET('/c/{clinic}/scheduling/slots', { params: { path: { clinic }, query } }))
  }, [api, clinic, service, practitioner, first, clinicZone])
  const times = useLoaded(service ? load : null)

  // Somebody else's booking is news about all times, not only about the one that was wanted.
  async function take(slot: Slot, location?: string) {
    await onTake(slot, location)
    void times.reload()
  }

  return (
    <>
      <ZoneNote clinicZone={clinicZone} />
      <SetbackNotice setback={setback} zone={zone} onTake={take} />
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
          holding={holding}
          onTake={take}
        />
      )}
      <div className="row spread">
        <Button look="plain" disabled={first <= today} onClick={() => setFirst(addDays(first, -DAYS_SHOWN))}>
          {t('booking.earlier')}
        </Button>
        <Button look="plain" onClick={() => setFirst(addDays(first, DAYS_SHOWN))}>
          {t('booking.later')}
        </Button>
      </div>
    </>
  )
}
