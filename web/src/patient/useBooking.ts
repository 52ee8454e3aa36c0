import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Confirmation, Hold, Slot } from '../api/types'
import { navigate } from '../routing'
import { type Setback, setbackOf, useHold, type Wish } from '../times/useHold'
import { birthDate, type Details } from './details'

/** The address of the second step, so that the browser's Back returns to the times. */
export const DETAILS_STEP = '#details'

export interface Booking {
  hold: Hold | null
  confirmation: Confirmation | null
  setback: Setback | null
  /** Start of the slot that is being held right now. */
  holding: string | null
  confirming: boolean
  take: (service: string, slot: Slot, wish?: Wish) => Promise<void>
  confirm: (details: Details) => Promise<void>
  /** As the patient whose account is open, or for them. */
  confirmKnown: () => Promise<void>
  expire: () => void
}

/** Hold, then confirm: the two writing calls of a booking and what may come between. */
export function useBooking(): Booking {
  const { api, clinic } = useClinicApi()
  const { hold, setback, holding, take: keep, setSetback } = useHold()
  const [confirmation, setConfirmation] = useState<Confirmation | null>(null)
  const [confirming, setConfirming] = useState(false)

  const take = useCallback(
    async (service: string, slot: Slot, wish?: Wish) => {
      if (!(await keep(service, slot, wish))) return
      navigate(DETAILS_STEP)
      scrollTo(0, 0)
    },
    [keep],
  )

  const confirm = useCallback(
    async (details: Details) => {
      if (!hold) return
      setConfirming(true)
      setSetback(null)
      try {
        const patient = {
          name: details.name.trim(),
          birthDate: birthDate(details) ?? '',
          email: details.email.trim(),
        }
        const asked = { hold: hold.id, secret: hold.secret, method: 'pay-at-clinic' as const, patient }
        const params = { path: { clinic } }
        setConfirmation(await body(api.POST('/c/{clinic}/payments/confirmations', { params, body: asked })))
        scrollTo(0, 0)
      } catch (error) {
        setSetback(setbackOf(error))
      } finally {
        setConfirming(false)
      }
    },
    [api, clinic, hold, setSetback],
  )

  const confirmKnown = useCallback(async () => {
    if (!hold) return
    setConfirming(true)
    setSetback(null)
    try {
      const asked = { hold: hold.id, secret: hold.secret, method: 'pay-at-clinic' as const }
      const params = { path: { clinic } }
      setConfirmation(await body(api.POST('/c/{clinic}/payments/own-confirmations', { params, body: asked })))
      scrollTo(0, 0)
    } catch (error) {
      setSetback(setbackOf(error))
    } finally {
      setConfirming(false)
    }
  }, [api, clinic, hold, setSetback])

  const expire = useCallback(() => setSetback({ kind: 'expired' }), [setSetback])
  return { hold, confirmation, setback, holding, confirming, take, confirm, confirmKnown, expire }
}
