import { useCallback } from 'react'
import { pollHeaders } from '../api/attendance'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Appointment, DayList } from '../api/types'
import { type Loaded, useLoaded } from '../api/useLoaded'
import type { Day } from '../i18n/time'

/**
 * A day's appointments, asked for again all the time: the front desk never reloads a page. Asking keeps nobody signed in
 * whose page is left alone, unless they are in a call.
 */
export function useDay(day: Day, everyMs: number, inCall = false): Loaded<DayList> {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () =>
      body(
        api.GET('/c/{clinic}/scheduling/appointments', {
          params: { path: { clinic }, query: { date: day } },
          headers: inCall ? {} : pollHeaders(),
        }),
      ),
    [api, clinic, day, inCall],
  )
  return useLoaded(load, { everyMs })
}

export type Stage = 'booked' | 'waiting' | 'inCall' | 'onHold' | 'done' | 'cancelled' | 'noshow'

/** Where a visit stands, in the words of a front desk. */
export function stageOf({
  status,
  admitted,
  heldAt,
}: Pick<Appointment, 'status' | 'admitted' | 'heldAt'>): Stage {
  switch (status) {
    case 'arrived':
      if (!admitted) return 'waiting'
      return heldAt ? 'onHold' : 'inCall'
    case 'fulfilled':
      return 'done'
    case 'cancelled':
    case 'noshow':
      return status
    default:
      return 'booked'
  }
}

/** Who waits, the longest first. */
export function waitingOf(appointments: readonly Appointment[]): Appointment[] {
  return appointments
    .filter((one) => stageOf(one) === 'waiting')
    .sort((a, b) => Date.parse(a.arrivedAt ?? a.start) - Date.parse(b.arrivedAt ?? b.start))
}

/** Who was let in, the longest ago first. */
export function inCallOf(appointments: readonly Appointment[]): Appointment[] {
  return appointments
    .filter((one) => stageOf(one) === 'inCall' || stageOf(one) === 'onHold')
    .sort((a, b) => Date.parse(a.admittedAt ?? a.start) - Date.parse(b.admittedAt ?? b.start))
}
