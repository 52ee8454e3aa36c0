import { expect, test } from 'vitest'
import { type CallPerson, isHere, nameOf } from './people'

const PEOPLE: CallPerson[] = [
  { participant: 'a', role: 'patient' },
  { participant: 'b', role: 'clinician' },
  { participant: 'c', role: 'interpreter' },
]
const PATIENT = { role: 'patient', name: 'Ines Example' } as const

test('who is known is called by name, a guest by what they are, and a stranger nothing', () => {
  const names = ['a', 'b', 'c', 'd'].map((participant) => nameOf(participant, PEOPLE, PATIENT))
  expect(names).toEqual(['Ines Example', 'Clinician', 'Interpreter', 'Another person'])
})

test('a name is given to nobody when two could have it', () => {
  const doctor = { role: 'clinician', name: 'Dr Grey' } as const
  const two: CallPerson[] = [...PEOPLE, { participant: 'd', role: 'clinician' }]
  expect(nameOf('b', PEOPLE, doctor)).toBe('Dr Grey')
  expect(nameOf('b', two, doctor)).toBe('Clinician')
})

test('a guest alone in the call is not the patient', () => {
  expect(isHere(['c'], PEOPLE, PATIENT)).toBe(false)
  expect(isHere(['c', 'a'], PEOPLE, PATIENT)).toBe(true)
  expect(isHere(['d'], PEOPLE, PATIENT)).toBe(false)
})
