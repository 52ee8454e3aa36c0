import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug, isRefusal } from '../api/problem'
import type { Hold, Slot, SlotTaken } from '../api/types'

export type Setback =
  | { kind: 'taken'; alternatives: Slot[] }
  | { kind: 'gone' | 'expired' | 'used' | 'unreachable' }
  | { kind: 'refused'; detail: string }

export interface Holding {
  hold: Hold | null
  setback: Setback | null
  /** Start of the slot that is being held right now. */
  holding: string | null
  /** Keeps a slot; false when somebody or something came between. */
  take: (service: string, slot: Slot) => Promise<boolean>
  letGo: () => void
  setSetback: (setback: Setback | null) => void
}

/** Keeps a slot for somebody who is about to confirm. */
export function useHold(): Holding {
  const { api, clinic } = useClinicApi()
  const [hold, setHold] = useState<Hold | null>(null)
  const [setback, setSetback] = useState<Setback | null>(null)
  const [holding, setHolding] = useState<string | null>(null)

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
        return true
      } catch (error) {
        setHold(null)
        setSetback(setbackOf(error))
        return false
      } finally {
        setHolding(null)
      }
    },
    [api, clinic],
  )

  const letGo = useCallback(() => setHold(null), [])
  return { hold, setback, holding, take, letGo, setSetback }
}

export function setbackOf(error: unknown): Setback {
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
