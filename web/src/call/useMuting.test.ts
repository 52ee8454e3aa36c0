import { expect, test } from 'vitest'
import type { CallPerson } from './people'
import { MUTE_TOPIC, mutes } from './useMuting'

const PEOPLE: CallPerson[] = [
  { participant: 'p', role: 'patient', name: null },
  { participant: 'c', role: 'clinician', name: null },
  { participant: 'i', role: 'interpreter', name: null },
]

function saying(text: string, sender: string, topic = MUTE_TOPIC) {
  return { sender, topic, content: Uint8Array.from(new TextEncoder().encode(text)) }
}

test('a clinician mutes the one they mean, and nobody else mutes anybody', () => {
  expect(mutes(saying('p', 'c'), 'p', PEOPLE)).toBe(true)
  expect(mutes(saying('i', 'c'), 'p', PEOPLE)).toBe(false)
  expect(mutes(saying('p', 'c', 'locum.chat'), 'p', PEOPLE)).toBe(false)
  for (const sender of ['p', 'i', 'stranger']) expect(mutes(saying('p', sender), 'p', PEOPLE)).toBe(false)
})
