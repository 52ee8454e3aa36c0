import { expect, test } from 'vitest'
import { movingWithinMs } from './moving'

test('metadata of a node that goes away says how long there is', () => {
  expect(movingWithinMs('{"moving":{"withinMs":5000}}')).toBe(5000)
  expect(movingWithinMs('{"moving":{"withinMs":1e99}}')).toBe(60_000)
})

test.each([
  undefined,
  '',
  'null',
  '[]',
  '{',
  '{"moving":1}',
  '{"moving":{"withinMs":"1"}}',
  '{"moving":{"withinMs":-1}}',
])('anything else says nothing: %s', (metadata) => expect(movingWithinMs(metadata)).toBeNull())
