import { expect, test } from 'vitest'
import { addDays, clocksDiffer, countdownText, dayOf, minutesSince, offsetMinutes, timeText } from './time'

test('a day is the day of its zone, not of UTC', () => {
  expect(dayOf('2026-03-01T23:30:00Z', 'Europe/Berlin')).toBe('2026-03-02')
  expect(dayOf('2026-03-01T23:30:00Z', 'America/New_York')).toBe('2026-03-01')
})

test('days are counted by the calendar across a change of clocks, months and years', () => {
  expect(addDays('2026-03-28', 2)).toBe('2026-03-30')
  expect(addDays('2026-12-31', 1)).toBe('2027-01-01')
  expect(addDays('2026-03-01', -1)).toBe('2026-02-28')
})

test('the offset of a zone follows its summer time', () => {
  expect(offsetMinutes('Europe/Berlin', '2026-01-15T12:00:00Z')).toBe(60)
  expect(offsetMinutes('Europe/Berlin', '2026-07-15T12:00:00Z')).toBe(120)
  expect(offsetMinutes('America/New_York', '2026-01-15T12:00:00Z')).toBe(-300)
  expect(offsetMinutes('Asia/Kolkata', '2026-01-15T12:00:00Z')).toBe(330)
  expect(offsetMinutes('UTC', '2026-01-15T12:00:00Z')).toBe(0)
})

test('clocks differ only when they show another time at that instant', () => {
  expect(clocksDiffer('Europe/Berlin', 'Europe/Madrid', '2026-01-15T12:00:00Z')).toBe(false)
  expect(clocksDiffer('Europe/Berlin', 'Europe/London', '2026-01-15T12:00:00Z')).toBe(true)
  // Between the two changes of clocks in March, New York is four hours behind London, not five.
  expect(offsetMinutes('Europe/London', '2026-03-20T12:00:00Z')).toBe(0)
  expect(offsetMinutes('America/New_York', '2026-03-20T12:00:00Z')).toBe(-240)
})

test('the same instant reads as each zone’s wall clock', () => {
  expect(timeText('2026-01-15T12:00:00Z', 'Europe/Berlin')).toMatch(/13:00|01:00 PM/)
  expect(timeText('2026-01-15T12:00:00Z', 'UTC')).toMatch(/12:00/)
})

test('countdown rounds up and stops at zero', () => {
  expect(countdownText(61_000)).toBe('1:01')
  expect(countdownText(60_001)).toBe('1:01')
  expect(countdownText(400)).toBe('0:01')
  expect(countdownText(-5)).toBe('0:00')
})

test('a clock that runs behind the server never shows negative waiting', () => {
  expect(minutesSince('2026-01-15T12:00:00Z', Date.parse('2026-01-15T12:04:59Z'))).toBe(4)
  expect(minutesSince('2026-01-15T12:00:00Z', Date.parse('2026-01-15T11:59:00Z'))).toBe(0)
})

// Nine o'clock in each zone, on the days on which its clocks are put forward and back.
test.each([
  ['Europe/Berlin', '2026-03-29T07:00:00Z', '2026-03-29'],
  ['Europe/Berlin', '2026-10-25T08:00:00Z', '2026-10-25'],
  ['America/New_York', '2026-03-08T13:00:00Z', '2026-03-08'],
  ['America/New_York', '2026-11-01T14:00:00Z', '2026-11-01'],
  ['Australia/Sydney', '2026-10-03T22:00:00Z', '2026-10-04'],
  ['Australia/Sydney', '2026-04-04T23:00:00Z', '2026-04-05'],
])('in %s %s is nine in the morning', (zone, instant, day) => {
  expect(timeText(instant, zone)).toMatch(/^0?9:00/)
  expect(dayOf(instant, zone)).toBe(day)
})
