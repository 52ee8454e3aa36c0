import type { Slot } from '../api/types'
import { addDays, type Day, dayOf } from '../i18n/time'

export const DAYS_SHOWN = 7

/** One time of the reader's day; several practitioners may be free at it. */
export interface FreeTime {
  start: string
  slots: Slot[]
}

export interface FreeDay {
  day: Day
  times: FreeTime[]
}

export type PartOfDay = 'morning' | 'afternoon' | 'evening'

/**
 * What to ask the clinic for so that the reader's `first` and the six days after it are whole: a day more on each side,
 * because the clinic counts days in its own zone, but nothing before the clinic's today.
 */
export function window(first: Day, clinicToday: Day): { from: Day; days: number } {
  const wanted = addDays(first, -1)
  const from = wanted < clinicToday ? clinicToday : wanted
  const end = addDays(first, DAYS_SHOWN + 1)
  return { from, days: daysBetween(from, end) }
}

/** Every day shown, with its free times in the reader's zone, earliest first. */
export function groupByDay(slots: readonly Slot[], first: Day, zone: string): FreeDay[] {
  const days: FreeDay[] = Array.from({ length: DAYS_SHOWN }, (_, index) => ({
    day: addDays(first, index),
    times: [],
  }))
  const sorted = [...slots].sort((a, b) => Date.parse(a.start) - Date.parse(b.start))
  for (const slot of sorted) {
    const times = days.find(({ day }) => day === dayOf(slot.start, zone))?.times
    const same = times?.find((time) => time.start === slot.start)
    if (same) same.slots.push(slot)
    else times?.push({ start: slot.start, slots: [slot] })
  }
  return days
}

export function partOfDay(start: string, zone: string): PartOfDay {
  const hour = Number(
    new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', hourCycle: 'h23' }).format(
      new Date(start),
    ),
  )
  if (hour < 12) return 'morning'
  return hour < 18 ? 'afternoon' : 'evening'
}

function daysBetween(from: Day, to: Day): number {
  return Math.round((Date.parse(to) - Date.parse(from)) / 86_400_000)
}
