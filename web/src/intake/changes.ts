import { type Answer, type AnsweredItem, answersOf, type Item, isSame, questionsOf } from './rules'

export type Mark = 'new' | 'changed' | 'gone'

export interface Row {
  item: Item
  answers: readonly Answer[]
  before: readonly Answer[]
  /** `null`: as before; or there is nothing to compare with. */
  mark: Mark | null
}

interface Answered {
  questionnaire: { item: readonly Item[] }
  response: { item?: readonly AnsweredItem[] }
}

/** What was answered, held against what the same person answered before. */
export function compare(now: Answered, before: Answered | null): Row[] {
  const given = answersOf(now.response.item)
  const old = answersOf(before?.response.item)
  const questions = questionsOf(now.questionnaire.item)
  const known = new Set(questions.map(({ linkId }) => linkId))
  // What is not asked any more was answered all the same.
  const dropped = questionsOf(before?.questionnaire.item ?? []).filter(({ linkId }) => !known.has(linkId))
  return [...questions, ...dropped].flatMap((item) => {
    const [answers, earlier] = [given[item.linkId] ?? [], old[item.linkId] ?? []]
    if (answers.length === 0 && earlier.length === 0) return []
    return [{ item, answers, before: earlier, mark: before ? markOf(answers, earlier) : null }]
  })
}

function markOf(now: readonly Answer[], before: readonly Answer[]): Mark | null {
  if (now.length === 0) return 'gone'
  if (before.length === 0) return 'new'
  const all = (some: readonly Answer[], others: readonly Answer[]) =>
    some.every((one) => others.some((other) => isSame(one, other)))
  return all(now, before) && all(before, now) ? null : 'changed'
}
