import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug, hasStatus } from '../api/problem'
import type { CardPayment, Confirmation, Hold, Slot } from '../api/types'
import { navigate } from '../routing'
import { type Setback, setbackOf, useHold, type Wish } from '../times/useHold'
import { type Details, patientOf } from './details'

/** The address of the second step, so that the browser's Back returns to the times. */
export const DETAILS_STEP = '#details'

/** Why a card has not paid. */
export type PaymentSetback = 'declined' | 'action' | 'open' | 'late' | 'unreachable'

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
  /** The same, by card: the provider's fields follow. */
  payByCard: (details: Details) => Promise<void>
  payKnown: () => Promise<void>
  /** A card payment that has begun. */
  card: CardPayment | null
  paymentSetback: PaymentSetback | null
  /** Asks the clinic whether it is paid; then the visit is booked. */
  checkPayment: () => Promise<void>
  expire: () => void
}

/** Hold, then confirm: the two writing calls of a booking and what may come between. */
export function useBooking(): Booking {
  const { api, clinic } = useClinicApi()
  const { hold, setback, holding, take: keep, setSetback } = useHold()
  const [confirmation, setConfirmation] = useState<Confirmation | null>(null)
  const [confirming, setConfirming] = useState(false)
  const [card, setCard] = useState<CardPayment | null>(null)
  const [paymentSetback, setPaymentSetback] = useState<PaymentSetback | null>(null)

  const take = useCallback(
    async (service: string, slot: Slot, wish?: Wish) => {
      setCard(null)
      setPaymentSetback(null)
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
        const patient = patientOf(details)
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

  const payByCard = useCallback(
    async (details: Details) => {
      if (!hold) return
      setConfirming(true)
      setSetback(null)
      try {
        const patient = patientOf(details)
        const asked = { hold: hold.id, secret: hold.secret, patient }
        const params = { path: { clinic } }
        setCard(await body(api.POST('/c/{clinic}/payments/card-payments', { params, body: asked })))
      } catch (error) {
        setSetback(setbackOf(error))
      } finally {
        setConfirming(false)
      }
    },
    [api, clinic, hold, setSetback],
  )

  const payKnown = useCallback(async () => {
    if (!hold) return
    setConfirming(true)
    setSetback(null)
    try {
      const asked = { hold: hold.id, secret: hold.secret }
      const params = { path: { clinic } }
      setCard(await body(api.POST('/c/{clinic}/payments/own-card-payments', { params, body: asked })))
    } catch (error) {
      setSetback(setbackOf(error))
    } finally {
      setConfirming(false)
    }
  }, [api, clinic, hold, setSetback])

  const checkPayment = useCallback(async () => {
    if (!hold || !card) return
    setPaymentSetback(null)
    try {
      const params = { path: { clinic, id: card.id } }
      const asked = { secret: hold.secret }
      const path = '/c/{clinic}/payments/card-payments/{id}/check' as const
      setConfirmation(await body(api.POST(path, { params, body: asked })))
      scrollTo(0, 0)
    } catch (error) {
      setPaymentSetback(paymentSetbackOf(error))
    }
  }, [api, clinic, hold, card])

  const expire = useCallback(() => setSetback({ kind: 'expired' }), [setSetback])
  const known = { hold, confirmation, setback, holding, confirming, card, paymentSetback }
  return { ...known, take, confirm, confirmKnown, payByCard, payKnown, checkPayment, expire }
}

function paymentSetbackOf(error: unknown): PaymentSetback {
  if (hasSlug(error, 'payment-declined')) return 'declined'
  if (hasSlug(error, 'payment-action-required')) return 'action'
  if (hasSlug(error, 'payment-too-late', 'payment-cancelled')) return 'late'
  return hasStatus(error, 402) ? 'open' : 'unreachable'
}
