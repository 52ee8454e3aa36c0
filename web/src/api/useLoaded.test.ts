import { expect, test } from 'vitest'
import { delayMs } from './useLoaded'

test('polling slows down while it fails, within bounds, and is never faster than asked for', () => {
  expect([0, 1, 2, 3].map((failures) => delayMs(2000, failures))).toEqual([2000, 4000, 8000, 16_000])
  expect(delayMs(100, 50)).toBe(1600)
  expect(delayMs(2000, 50)).toBe(30_000)
  expect(delayMs(60_000, 3)).toBe(60_000)
})
