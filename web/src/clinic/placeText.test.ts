import { expect, test } from 'vitest'
import { inOrder, placeText } from './placeText'

const visit = (start: string, who: string, place?: number) => ({
  start,
  service: { id: 's', name: 'Class' },
  practitioner: { id: who, name: `Dr ${who}` },
  ...(place === undefined ? {} : { group: { place, capacity: 3 } }),
})

test('a place, a site and a room are told where there are some', () => {
  expect(placeText(visit('2026-03-02T08:00:00Z', 'a'))).toBe('Class · Dr a')
  const group = { ...visit('2026-03-02T08:00:00Z', 'a', 2), site: { name: 'Main' }, room: { name: '1.02' } }
  expect(placeText(group)).toBe('Class · Dr a · place 2 of 3 · Main, 1.02')
})

test('who is in one group stands together', () => {
  const [eight, nine] = ['2026-03-02T08:00:00Z', '2026-03-02T09:00:00Z']
  const sorted = [visit(nine, 'a'), visit(eight, 'b', 1), visit(eight, 'a', 3), visit(eight, 'a', 1)].sort(
    inOrder,
  )
  expect(sorted.map(({ practitioner, group }) => [practitioner.id, group?.place])).toEqual([
    ['a', 1],
    ['a', 3],
    ['b', 1],
    ['a', undefined],
  ])
})
