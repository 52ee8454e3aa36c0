import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type AnsweredItem, answersOf, type Item, lookAt, nested } from './rules'

interface Case {
  name: string
  item: Item[]
  answers: AnsweredItem[]
  enabled: string[]
  mistakes: [string | null, string][]
  draftMistakes: [string | null, string][]
  /** Pages never make such a response. */
  server?: true
}

const FILE = new URL('../../../edge-functions/kit/tests/questionnaire_cases.json', import.meta.url)
const cases = (JSON.parse(readFileSync(FILE, 'utf8')) as Case[]).filter(({ server }) => !server)

test('each case is told as the clinic’s side tells it', () => {
  expect(cases.length).toBeGreaterThan(100)
  for (const { name, item, answers, enabled, mistakes, draftMistakes } of cases) {
    const given = answersOf(answers)
    const told = (complete: boolean) =>
      lookAt(item, given, complete).mistakes.map(({ linkId, kind }) => [linkId, kind])
    expect(told(true), name).toEqual(mistakes)
    expect(told(false), `${name}, as a draft`).toEqual(draftMistakes)
    expect([...lookAt(item, given, true).enabled].sort(), name).toEqual(enabled)
  }
})

test('what is sent nests as the questions do, and reads back', () => {
  for (const { name, item, answers, draftMistakes } of cases) {
    if (draftMistakes.length > 0) continue
    const { taken } = lookAt(item, answersOf(answers), false)
    expect(answersOf(nested(item, taken)), name).toEqual(taken)
  }
})
