import { expect, test } from 'vitest'
import { arrived, Pulse } from './Pulse'

test('a line is still when nothing has arrived for six seconds', () => {
  const pulse = new Pulse()
  expect(pulse.still(10, 0)).toBe(false)
  expect(pulse.still(10, 5_999)).toBe(false)
  expect(pulse.still(10, 6_000)).toBe(true)
})

test('anything that arrives wakes it, also a counter that began anew after a reconnect', () => {
  const pulse = new Pulse()
  pulse.still(10, 0)
  expect(pulse.still(11, 6_000)).toBe(false)
  expect(pulse.still(3, 12_500)).toBe(false)
})

test('a line without picture and sound lives by its connectivity checks', () => {
  const pair = { type: 'candidate-pair', bytesReceived: 100, responsesReceived: 4 }
  expect(arrived([pair, { type: 'transport', bytesReceived: 7 }, { type: 'candidate-pair' }])).toBe(104)
})
