import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug, isRefusal } from '../api/problem'
import type { Confirmation, Hold, Slot, SlotTaken } from '../api/types'
import { navigate } from '../routing'
import { birthDate, type Details } from './details'

/** The address of the second step, so that the browser's Back returns to the times. */
export const DETAILS_STEP = '#details'

export type Setback =
  | { kind: 'taken'; alternatives: Slot[] }
  | { kind: 'gone' | 'expired' | 'used' | 'unreachable' }
  | { kind: 'refused'; detail: string }

export interface Booking {
  hold: Hold | null
  confirmation: Confirmation | null
  setback: Setback | null
  /** Start of the slot that is being held right now. */
  holding: string | null
  confirming: boolean
  take: (service: string, slot: Slot) => Promise<void>
  confirm: (details: Details) => Promise<void>
  /** As the patient whose account is open, or for them. */
  confirmKnown: () => Promise<void>
  expire: () => void
}

/** Hold, then confirm: the two writing calls of a booking and what may come between. */
export function useBooking(): Booking {
  const { api, clinic } = useClinicApi()
  const [hold, setHold] = useState<Hold | null>(null)
  const [confirmation, setConfirmation] = useState<Confirmation | null>(null)
  const [setback, setSetback] = useState<Setback | null>(null)
  const [holding, setHolding] = useState<string | null>(null)
  const [confirming, setConfirming] = useState(false)

  const take = useCallback(
    async (service: string, slot: Slot) => {
      setHolding(slot.start)
      setSetback(null)
      try {
        const wanted = { service, practitioner: slot.practitioner.id, start: slot.start }
        setHold(
          await body(
            api.POST('/c/{clinic}/scheduling/holds', { params: { path: { clinic } }, body: wanted }),
          ),
        )
        navigate(DETAILS_STEP)
        scrollTo(0, 0)
      } catch (error) {
        setHold(null)
        setSetback(setbackOf(error))
      } finally {
        setHolding(null)
      }
    },
    [api, clinic],
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
    [api, clinic, hold],
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
  }, [api, clinic, hold])

  const expire = useCallback(() => setSetback({ kind: 'expired' }), [])
  return { hold, confirmation, setback, holding, confirming, take, confirm, confirmKnown, expire }
}

function setbackOf(error: unknown): Setback {
  if (hasSlug(error, 'slot-taken')) {
    const { alternatives } = error.document as Partial<SlotTaken>
    return { kind: 'taken', alternatives: alternatives ?? [] }
  }
  if (hasSlug(error, 'not-a-slot')) return { kind: 'gone' }
  if (hasSlug(error, 'hold-expired')) return { kind: 'expired' }
  if (hasSlug(error, 'hold-used')) return { kind: 'used' }
  if (!isRefusal(error)) return { kind: 'unreachable' }
  const { detail } = error.document
  return { kind: 'refused', detail: typeof detail === 'string' ? detail : error.message }
}
