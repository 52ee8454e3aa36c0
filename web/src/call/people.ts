import { useRef } from 'react'
import type { Answer } from '../api/types'
import { t } from '../i18n/text'

/** Somebody who has joined the call: their random name there, and what they are to the visit. */
export type CallPerson = Answer<'/c/{clinic}/scheduling/visit', 'get'>['people'][number]
export type PersonRole = CallPerson['role']

/** Whom this page expects: the patient, or the clinician of the visit, for whom a colleague may come. */
export interface Expected {
  role: PersonRole
  name: string
}

/** What a person is called here: by name where it is known, else by what they are. Media nodes know neither. */
export function nameOf(participant: string, people: readonly CallPerson[], expected: Expected): string {
  const person = people.find((one) => one.participant === participant)
  if (!person) return t('call.someone')
  return person.name ?? (person.role === expected.role ? expected.name : t(`people.${person.role}`))
}

/** Who of those whom the call shows has the role of the one who is expected. */
export function whoIsHere(
  participants: readonly string[],
  people: readonly CallPerson[],
  expected: Expected,
): string | null {
  const here = participants.find((participant) =>
    people.some((person) => person.participant === participant && person.role === expected.role),
  )
  return here ? nameOf(here, people, expected) : null
}

/** Those who are told of now and those who were before: what somebody wrote who has left is still theirs. */
export function useEverybody(people: readonly CallPerson[]): readonly CallPerson[] {
  const known = useRef(new Map<string, CallPerson>())
  for (const person of people) known.current.set(person.participant, person)
  return [...known.current.values()]
}
