import { useRef } from 'react'
import type { Answer } from '../api/types'
import { t } from '../i18n/text'

/** Somebody who has joined the call: their random name there, and what they are to the visit. */
export type CallPerson = Answer<'/c/{clinic}/scheduling/visit', 'get'>['people'][number]
export type PersonRole = CallPerson['role']

/** The one whom this page knows by name: the patient, or the clinician of the visit. */
export interface Expected {
  role: PersonRole
  name: string
}

/** What a person is called here: by name where this page knows it, else by what they are. Media nodes know neither. */
export function nameOf(participant: string, people: readonly CallPerson[], expected: Expected): string {
  const role = people.find((person) => person.participant === participant)?.role
  if (!role) return t('call.someone')
  const alike = people.filter((person) => person.role === role).length
  return role === expected.role && alike === 1 ? expected.name : t(`people.${role}`)
}

/** Whether the one who is expected is among those whom the call shows. */
export function isHere(
  participants: readonly string[],
  people: readonly CallPerson[],
  expected: Expected,
): boolean {
  return participants.some((participant) =>
    people.some((person) => person.participant === participant && person.role === expected.role),
  )
}

/** Those who are told of now and those who were before: what somebody wrote who has left is still theirs. */
export function useEverybody(people: readonly CallPerson[]): readonly CallPerson[] {
  const known = useRef(new Map<string, CallPerson>())
  for (const person of people) known.current.set(person.participant, person)
  return [...known.current.values()]
}
