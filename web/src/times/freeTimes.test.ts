import { expect, test } from 'vitest'
import type { Slot } from '../api/types'
import { groupByDay, partOfDay, window } from './freeTimes'

function slot(start: string, practitioner = 'a'): Slot {
  const end = new Date(Date.parse(start) + 20 * 60_000).toISOString()
  return { start, end, practitioner: { id: practitioner, name: practitioner } }
}

test('slots fall on the days of the reader, not of the clinic', () => {
  const slots = [slot('2026-03-02T07:00:00Z'), slot('2026-03-02T16:00:00Z')]
  const inTokyo = groupByDay(slots, '2026-03-02', 'Asia/Tokyo')
  expect(inTokyo.map(({ times }) => times.length)).toEqual([1, 1, 0, 0, 0, 0, 0])
  const inLima = groupByDay(slots, '2026-03-02', 'America/Lima')
  expect(inLima[0]?.times).toHaveLength(2)
})

test('two practitioners free at once are one time', () => {
  const [day] = groupByDay(
    [slot('2026-03-02T09:00:00Z', 'b'), slot('2026-03-02T08:00:00Z', 'a'), slot('2026-03-02T09:00:00Z', 'a')],
    '2026-03-02',
    'UTC',
  )
  expect(day?.times.map(({ slots }) => slots.length)).toEqual([1, 2])
})

test('a day before the first or after the last is left out', () => {
  const days = groupByDay([slot('2026-03-01T12:00:00Z'), slot('2026-03-09T12:00:00Z')], '2026-03-02', 'UTC')
  expect(days.flatMap(({ times }) => times)).toEqual([])
})

test('asks for a day more on each side, but for nothing before the clinic’s today', () => {
  expect(window('2026-03-09', '2026-03-02')).toEqual({ from: '2026-03-08', days: 9 })
  expect(window('2026-03-02', '2026-03-02')).toEqual({ from: '2026-03-02', days: 8 })
  // The reader in Tokyo is a day ahead of a clinic in New York.
  expect(window('2026-03-03', '2026-03-02')).toEqual({ from: '2026-03-02', days: 9 })
})

test('the part of the day is the reader’s', () => {
  expect(partOfDay('2026-03-02T11:59:00Z', 'UTC')).toBe('morning')
  expect(partOfDay('2026-03-02T12:00:00Z', 'UTC')).toBe('afternoon')
  expect(partOfDay('2026-03-02T12:00:00Z', 'Asia/Tokyo')).toBe('evening')
  expect(partOfDay('2026-03-02T23:30:00Z', 'Europe/London')).toBe('evening')
})
