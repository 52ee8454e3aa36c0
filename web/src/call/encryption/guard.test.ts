import { expect, test } from 'vitest'
import { guarded } from './guard'

test('a node cannot have frames passed as they come', () => {
  const enable = (enabled: boolean) => ({ kind: 'enable', data: { enabled, participantIdentity: 'p' } })
  expect(guarded(enable(false), false)).toEqual(enable(true))
  expect(guarded({ kind: 'setSifTrailer' }, false)).toBeNull()
  const key = { kind: 'setKey', data: { participantIdentity: 'p' } }
  expect(guarded(key, false)).toBe(key)
})

test('who agreed to a call in the clear has it', () => {
  const enable = { kind: 'enable', data: { enabled: false, participantIdentity: 'p' } }
  expect(guarded(enable, true)).toEqual(enable)
  expect(guarded({ kind: 'setSifTrailer' }, true)).toBeNull()
})
