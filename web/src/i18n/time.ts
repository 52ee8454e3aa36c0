import { locale } from './text'

/** A calendar day, `YYYY-MM-DD`, in whichever zone its user says. */
export type Day = string

export function readerZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone
}

export function dayOf(instant: string | number | Date, zone: string): Day {
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat('en-CA', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' })
      .formatToParts(new Date(instant))
      .map((part) => [part.type, part.value]),
  )
  return `${parts.year}-${parts.month}-${parts.day}`
}

/** Calendar arithmetic only: no zone, so a day with 23 or 25 hours is still one day. */
export function addDays(day: Day, count: number): Day {
  const date = new Date(`${day}T00:00:00Z`)
  date.setUTCDate(date.getUTCDate() + count)
  return date.toISOString().slice(0, 10)
}

/** Minutes a zone's clock is ahead of UTC at an instant. */
export function offsetMinutes(zone: string, at: string | number | Date): number {
  const instant = new Date(at)
  const name = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' })
    .formatToParts(instant)
    .find((part) => part.type === 'timeZoneName')?.value
  const found = /GMT([+-])(\d{2}):(\d{2})/.exec(name ?? '')
  if (!found) return 0
  const minutes = Number(found[2]) * 60 + Number(found[3])
  return found[1] === '-' ? -minutes : minutes
}

/** Whether two zones show another wall-clock time at an instant: Berlin and Madrid do not. */
export function clocksDiffer(a: string, b: string, at: string | number | Date): boolean {
  return offsetMinutes(a, at) !== offsetMinutes(b, at)
}

/** `08:20`, or `8:20 AM` where that is how people write. */
export function timeText(instant: string | number | Date, zone: string): string {
  const { hour12 } = new Intl.DateTimeFormat(locale(), { hour: 'numeric' }).resolvedOptions()
  return format(instant, { timeZone: zone, hour: hour12 ? 'numeric' : '2-digit', minute: '2-digit' })
}

export function dayText(day: Day): string {
  return format(`${day}T12:00:00Z`, { timeZone: 'UTC', weekday: 'long', day: 'numeric', month: 'long' })
}

/** A calendar day with its year. */
export function dateText(day: Day): string {
  return format(`${day}T12:00:00Z`, { timeZone: 'UTC', day: 'numeric', month: 'short', year: 'numeric' })
}

/** Day and time, to the second. */
export function instantText(instant: string, zone: string): string {
  return format(instant, { timeZone: zone, dateStyle: 'medium', timeStyle: 'medium' })
}

export function weekdayText(day: Day): string {
  return format(`${day}T12:00:00Z`, { timeZone: 'UTC', weekday: 'short' })
}

export function dayNumberText(day: Day): string {
  return format(`${day}T12:00:00Z`, { timeZone: 'UTC', day: 'numeric' })
}

export function monthText(day: Day): string {
  return format(`${day}T12:00:00Z`, { timeZone: 'UTC', month: 'short' })
}

/** “Central European Time”, or the place's name where the zone has none. */
export function zoneText(zone: string): string {
  const name = new Intl.DateTimeFormat(locale(), { timeZone: zone, timeZoneName: 'longGeneric' })
    .formatToParts(new Date())
    .find((part) => part.type === 'timeZoneName')?.value
  const place = zone.split('/').pop()?.replaceAll('_', ' ') ?? zone
  return name && !name.startsWith('GMT') ? name : place
}

export function minutesSince(instant: string, nowMs: number): number {
  return Math.max(0, Math.floor((nowMs - Date.parse(instant)) / 60_000))
}

/** `m:ss`, never below zero. */
export function countdownText(remainingMs: number): string {
  const seconds = Math.max(0, Math.ceil(remainingMs / 1000))
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

export function moneyText(price: { amount: string; currency: string }): string {
  return new Intl.NumberFormat(locale(), { style: 'currency', currency: price.currency }).format(
    Number(price.amount),
  )
}

function format(instant: string | number | Date, options: Intl.DateTimeFormatOptions): string {
  return new Intl.DateTimeFormat(locale(), options).format(new Date(instant))
}
