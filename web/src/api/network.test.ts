import { expect, test } from 'vitest'
import { clockOffset } from './network'

const SERVER = 'Sun, 01 Mar 2026 08:00:00 GMT'
const EIGHT = Date.parse(SERVER)

test('a right clock needs no offset', () => {
  expect(clockOffset(SERVER, EIGHT + 100, EIGHT + 300)).toBe(0)
})

test('a clock five minutes ahead is found out', () => {
  expect(clockOffset(SERVER, EIGHT + 300_000, EIGHT + 300_200)).toBe(-299_600)
})

test('no or a malformed date is no reason to distrust our clock', () => {
  expect(clockOffset(null, EIGHT, EIGHT)).toBe(0)
  expect(clockOffset('soon', EIGHT, EIGHT)).toBe(0)
})
