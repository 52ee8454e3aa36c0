import { expect, test } from 'vitest'
import { arrivedBy } from './livekit'

test('what arrives is counted over all routes', () => {
  const report = [
    { type: 'candidate-pair', bytesReceived: 10, responsesReceived: 2 },
    { type: 'candidate-pair', bytesReceived: 5 },
    { type: 'inbound-rtp', bytesReceived: 7 },
  ]
  expect(arrivedBy(report)).toBe(17)
})
