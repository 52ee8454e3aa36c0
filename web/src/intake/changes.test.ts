import { expect, test } from 'vitest'
import { compare } from './changes'
import type { AnsweredItem, Item } from './rules'

const QUESTIONS: Item[] = [
  { linkId: 'same', type: 'string', text: 'Same' },
  { linkId: 'g', type: 'group', item: [{ linkId: 'changed', type: 'string', text: 'Changed' }] },
  { linkId: 'new', type: 'string', text: 'New' },
  { linkId: 'gone', type: 'string', text: 'Gone' },
  { linkId: 'never', type: 'string', text: 'Never' },
  { linkId: 'several', type: 'choice', text: 'Several', repeats: true },
]
const one = (linkId: string, ...texts: string[]): AnsweredItem => ({
  linkId,
  answer: texts.map((valueString) => ({ valueString })),
})
const of = (item: Item[], ...answers: AnsweredItem[]) => ({
  questionnaire: { item },
  response: { item: answers },
})

test('what is new, changed and gone is marked, in the order of the questions', () => {
  const before = of(
    [...QUESTIONS, { linkId: 'dropped', type: 'string', text: 'Dropped' }],
    one('same', 'x'),
    { linkId: 'g', item: [one('changed', 'x')] },
    one('gone', 'x'),
    one('several', 'a', 'b'),
    one('dropped', 'x'),
  )
  const now = of(
    QUESTIONS,
    one('same', 'x'),
    { linkId: 'g', item: [one('changed', 'y')] },
    one('new', 'x'),
    one('several', 'b', 'a'),
  )
  expect(compare(now, before).map(({ item, mark }) => [item.linkId, mark])).toEqual([
    ['same', null],
    ['changed', 'changed'],
    ['new', 'new'],
    ['gone', 'gone'],
    ['several', null],
    ['dropped', 'gone'],
  ])
})

test('one answer more, or one fewer, is a change', () => {
  const marks = (before: string[], now: string[]) =>
    compare(of(QUESTIONS, one('several', ...now)), of(QUESTIONS, one('several', ...before))).map(
      ({ mark }) => mark,
    )
  expect(marks(['a'], ['a', 'b'])).toEqual(['changed'])
  expect(marks(['a', 'b'], ['a'])).toEqual(['changed'])
})

test('at a first visit nothing is new', () => {
  expect(compare(of(QUESTIONS, one('same', 'x')), null).map(({ mark }) => mark)).toEqual([null])
})
