import { useCallback, useRef, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { type ApiError, hasSlug, isRefusal } from '../api/problem'
import type { Hold, Slot, SlotTaken } from '../api/types'

export type Setback =
  | { kind: 'taken'; alternatives: Slot[] }
  | { kind: 'location'; slot: Slot; places: string[] }
  | { kind: 'gone' | 'expired' | 'used' | 'unreachable' | 'notLicensed' | 'notOpen' }
  | { kind: 'refused'; detail: string }

/** How a slot is taken. */
export interface Wish {
  /** With whoever is free. */
  anyone?: boolean
  /** Where the patient will be; the last one that was said, unless it is. */
  location?: string | undefined
}

export interface Holding {
  hold: Hold | null
  setback: Setback | null
  /** Start of the slot that is being held right now. */
  holding: string | null
  /** Keeps a slot; false when somebody or something came between. */
  take: (service: string, slot: Slot, wish?: Wish) => Promise<boolean>
  letGo: () => void
  setSetback: (setback: Setback | null) => void
}

/** Keeps a slot for somebody who is about to confirm. */
export function useHold(): Holding {
  const { api, clinic } = useClinicApi()
  const [hold, setHold] = useState<Hold | null>(null)
  const [setback, setSetback] = useState<Setback | null>(null)
  const [holding, setHolding] = useState<string | null>(null)

  const location = useRef<string | undefined>(undefined)

  const take = useCallback(
    async (service: string, slot: Slot, wish: Wish = {}) => {
      setHolding(slot.start)
      setSetback(null)
      try {
        location.current = wish.location ?? location.current
        const practitioner = wish.anyone ? {} : { practitioner: slot.practitioner.id }
        const where = location.current ? { location: location.current } : {}
        const site = slot.site ? { site: slot.site.id } : {}
        const wanted = { service, start: slot.start, ...practitioner, ...site, ...where }
        setHold(
          await body(
            api.POST('/c/{clinic}/scheduling/holds', { params: { path: { clinic } }, body: wanted }),
          ),
        )
        return true
      } catch (error) {
        setHold(null)
        setSetback(setbackOf(error, slot))
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

export function setbackOf(error: unknown, slot?: Slot): Setback {
  if (hasSlug(error, 'slot-taken')) {
    const { alternatives } = error.document as Partial<SlotTaken>
    return { kind: 'taken', alternatives: alternatives ?? [] }
  }
  if (slot && hasSlug(error, 'location-required')) {
    return { kind: 'location', slot, places: placesOf(error) }
  }
  if (hasSlug(error, 'not-licensed')) return { kind: 'notLicensed' }
  if (hasSlug(error, 'not-open')) return { kind: 'notOpen' }
  if (hasSlug(error, 'not-a-slot')) return { kind: 'gone' }
  if (hasSlug(error, 'hold-expired')) return { kind: 'expired' }
  if (hasSlug(error, 'hold-used')) return { kind: 'used' }
  if (!isRefusal(error)) return { kind: 'unreachable' }
  const { detail } = error.document
  return { kind: 'refused', detail: typeof detail === 'string' ? detail : error.message }
}

/** Where practitioners are licensed, as a refusal says it. */
export function placesOf(error: ApiError): string[] {
  const { licensedIn } = error.document as { licensedIn?: string[] }
  return licensedIn ?? []
}
