import { expect, test } from 'vitest'
import { type CallPerson, nameOf, whoIsHere } from './people'

const PEOPLE: CallPerson[] = [
  { participant: 'a', role: 'patient', name: null },
  { participant: 'b', role: 'clinician', name: 'Dr Grey' },
  { participant: 'c', role: 'interpreter', name: null },
]
const PATIENT = { role: 'patient', name: 'Ines Example' } as const
const DOCTOR = { role: 'clinician', name: 'Dr White' } as const

test('who is known is called by name, a guest by what they are, and a stranger nothing', () => {
  const names = ['a', 'b', 'c', 'd'].map((participant) => nameOf(participant, PEOPLE, PATIENT))
  expect(names).toEqual(['Ines Example', 'Dr Grey', 'Interpreter', 'Another person'])
})

test('a clinician who comes for another is called by their own name', () => {
  expect(nameOf('b', PEOPLE, DOCTOR)).toBe('Dr Grey')
  expect(whoIsHere(['c', 'b'], PEOPLE, DOCTOR)).toBe('Dr Grey')
  expect(nameOf('a', PEOPLE, DOCTOR)).toBe('Patient')
})

test('a guest alone in the call is not the patient', () => {
  expect(whoIsHere(['c'], PEOPLE, PATIENT)).toBeNull()
  expect(whoIsHere(['c', 'a'], PEOPLE, PATIENT)).toBe('Ines Example')
  expect(whoIsHere(['d'], PEOPLE, PATIENT)).toBeNull()
})
