import type { components } from '../api/schema'

/** What is asked after which answers, and which answers are taken: as the clinic's side has it, which has the last word. */

export type Questionnaire = components['schemas']['Questionnaire']
export type Item = components['schemas']['QuestionnaireItem']
export type Answer = components['schemas']['AnsweredValue']
export type AnsweredItem = components['schemas']['AnsweredItem']
type Condition = NonNullable<Item['enableWhen']>[number]

/** By link id, groups left out. */
export type Answers = Readonly<Record<string, readonly Answer[]>>

export type MistakeKind = 'disabled' | 'required' | 'type' | 'too-long' | 'not-offered' | 'too-many'

export interface Mistake {
  linkId: string
  kind: MistakeKind
}

export const MAX_STRING = 1_000
export const MAX_TEXT = 10_000
export const MAX_ANSWERS = 20
const INTEGER = 2 ** 31

export interface Look {
  /** Which items are asked. */
  enabled: ReadonlySet<string>
  mistakes: readonly Mistake[]
  /** Answers to what is asked, without those that cannot be taken. */
  taken: Answers
}

/** Looks at answers; `complete`: also whether something is missing. */
export function lookAt(items: readonly Item[], answers: Answers, complete: boolean): Look {
  const look = {
    enabled: new Set<string>(),
    mistakes: [] as Mistake[],
    taken: {} as Record<string, readonly Answer[]>,
  }
  level(items, answers, true)
  return look

  function level(some: readonly Item[], given: Answers, above: boolean) {
    for (const item of some) {
      const asked = above && isAsked(item, look.taken)
      if (asked) look.enabled.add(item.linkId)
      if (item.type === 'group') level(item.item ?? [], given, asked)
      else if (item.type !== 'display') question(item, given[item.linkId] ?? [], asked)
    }
  }

  function question(item: Item, given: readonly Answer[], asked: boolean) {
    const kind = given.length > 0 ? mistakeOf(item, given, asked) : null
    if (kind) look.mistakes.push({ linkId: item.linkId, kind })
    else if (given.length > 0) look.taken[item.linkId] = given
    else if (complete && asked && item.required) look.mistakes.push({ linkId: item.linkId, kind: 'required' })
  }
}

function mistakeOf(item: Item, given: readonly Answer[], asked: boolean): MistakeKind | null {
  const longest = Math.min(
    item.maxLength ?? MAX_TEXT,
    item.type === 'text' || item.maxLength ? MAX_TEXT : MAX_STRING,
  )
  if (!given.every((answer) => isOfType(item.type, answer))) return 'type'
  if (!asked) return 'disabled'
  if (given.length > (item.repeats ? MAX_ANSWERS : 1)) return 'too-many'
  if (given.some(({ valueString }) => valueString !== undefined && [...valueString].length > longest))
    return 'too-long'
  return given.every((answer) => isOffered(item, answer)) ? null : 'not-offered'
}

function isOfType(type: Item['type'], answer: Answer): boolean {
  const [name, ...more] = Object.keys(answer)
  if (more.length > 0) return false
  switch (type) {
    case 'boolean':
      return typeof answer.valueBoolean === 'boolean'
    case 'integer':
      return isInteger(answer.valueInteger)
    case 'decimal':
      return Number.isFinite(answer.valueDecimal)
    case 'date':
      return isDay(answer.valueDate ?? '')
    case 'choice':
    case 'open-choice':
      return answer.valueCoding !== undefined || isText(answer.valueString)
    default:
      return name === 'valueString' && isText(answer.valueString)
  }
}

function isInteger(value: number | undefined): boolean {
  return value !== undefined && Number.isInteger(value) && value >= -INTEGER && value < INTEGER
}

function isText(text: string | undefined): boolean {
  return text !== undefined && text.trim() !== ''
}

/** A day that a calendar has, as `YYYY-MM-DD`. */
export function isDay(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const date = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().slice(0, 10) === text
}

function isOffered(item: Item, answer: Answer): boolean {
  if (!item.answerOption) return true
  if (item.type === 'open-choice' && answer.valueString !== undefined) return true
  return item.answerOption.some((option) => isSame(option, answer))
}

/** Codes are the same by system and code, whatever they are called. */
export function isSame(one: Answer, other: Answer): boolean {
  if (one.valueCoding || other.valueCoding) {
    const [a, b] = [one.valueCoding, other.valueCoding]
    return a !== undefined && a.code === b?.code && a.system === b.system
  }
  return plainOf(one) === plainOf(other)
}

function plainOf(answer: Answer): string | number | boolean | undefined {
  const { valueBoolean, valueInteger, valueDecimal, valueDate, valueString } = answer
  return valueBoolean ?? valueInteger ?? valueDecimal ?? valueDate ?? valueString
}

function isAsked(item: Item, answers: Answers): boolean {
  const conditions = item.enableWhen ?? []
  if (conditions.length === 0) return true
  const holds = (condition: Condition) => doesHold(condition, answers[condition.question] ?? [])
  return item.enableBehavior === 'any' ? conditions.some(holds) : conditions.every(holds)
}

function doesHold(condition: Condition, given: readonly Answer[]): boolean {
  const wanted = answerOf(condition)
  const any = (test: (one: number | string, other: number | string) => boolean) =>
    given.some((answer) => {
      const [one, other] = [plainOf(answer), plainOf(wanted)]
      if (typeof one === 'boolean' || typeof other === 'boolean') return false
      return one !== undefined && other !== undefined && test(one, other)
    })
  switch (condition.operator) {
    case 'exists':
      return given.length > 0 === condition.answerBoolean
    case '=':
      return given.some((answer) => isSame(answer, wanted))
    // “True if no answer has a value that is equal”: also where there is none.
    case '!=':
      return !given.some((answer) => isSame(answer, wanted))
    case '>':
      return any((one, other) => one > other)
    case '<':
      return any((one, other) => one < other)
    case '>=':
      return any((one, other) => one >= other)
    case '<=':
      return any((one, other) => one <= other)
  }
}

function answerOf(condition: Condition): Answer {
  const names = { Boolean: 1, Integer: 1, Decimal: 1, Date: 1, String: 1, Coding: 1 }
  const answer: Record<string, unknown> = {}
  for (const name of Object.keys(names)) {
    const value = (condition as Record<string, unknown>)[`answer${name}`]
    if (value !== undefined) answer[`value${name}`] = value
  }
  return answer as Answer
}

/** The answers of a response, by link id. */
export function answersOf(items: readonly AnsweredItem[] = []): Record<string, readonly Answer[]> {
  const answers: Record<string, readonly Answer[]> = {}
  for (const { linkId, answer = [], item = [] } of items) {
    if (answer.length > 0) answers[linkId] = answer
    Object.assign(answers, answersOf(item))
  }
  return answers
}

/** Answers nested as the questions are. */
export function nested(items: readonly Item[], answers: Answers): AnsweredItem[] {
  return items.flatMap((item): AnsweredItem[] => {
    if (item.type === 'group') {
      const inner = nested(item.item ?? [], answers)
      return inner.length > 0 ? [{ linkId: item.linkId, item: inner }] : []
    }
    const answer = answers[item.linkId] ?? []
    return answer.length > 0 ? [{ linkId: item.linkId, answer: [...answer] }] : []
  })
}

/** All that is asked, in order, without groups and texts. */
export function questionsOf(items: readonly Item[]): Item[] {
  return items.flatMap((item) =>
    item.type === 'group' ? questionsOf(item.item ?? []) : item.type === 'display' ? [] : [item],
  )
}
