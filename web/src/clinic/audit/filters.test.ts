import { expect, test } from 'vitest'
import { beginning, queryOf, startOf } from './filters'

test('a day begins at midnight of the clinic, also where clocks have just changed', () => {
  expect(startOf('2026-03-02', 'Europe/Berlin')).toBe('2026-03-01T23:00:00.000Z')
  expect(startOf('2026-03-30', 'Europe/Berlin')).toBe('2026-03-29T22:00:00.000Z')
  expect(startOf('2026-03-29', 'Europe/Berlin')).toBe('2026-03-28T23:00:00.000Z')
  expect(startOf('2026-07-01', 'America/Los_Angeles')).toBe('2026-07-01T07:00:00.000Z')
})

test('only what is chosen is asked for, and the last day is asked for to its end', () => {
  const query = queryOf({ ...beginning('UTC'), from: '2026-03-01', until: '2026-03-02' }, 'UTC')
  expect(query).toEqual({
    from: '2026-03-01T00:00:00.000Z',
    until: '2026-03-03T00:00:00.000Z',
    sort: 'recorded',
    order: 'desc',
  })
})
