import { expect, test } from 'vitest'
import { probeUrl } from './probe'

test('a node is probed where it signals', () => {
  expect(probeUrl('wss://media.eu-central.clinic.example')).toBe(
    'https://media.eu-central.clinic.example/probe',
  )
  expect(probeUrl('ws://media.us-west.locum.localhost:7880')).toBe(
    'http://media.us-west.locum.localhost:7880/probe',
  )
})
