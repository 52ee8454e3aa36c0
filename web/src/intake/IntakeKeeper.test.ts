import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  type Draft,
  IntakeKeeper,
  type IntakeStore,
  type Kept,
  merged,
  type responseOf,
} from './IntakeKeeper'
import { type Answers, answersOf, type Questionnaire } from './rules'

/** As an option of a question brings it along, and as the clinic keeps it. */
const CODE = { system: 'urn:s', code: 'pain', display: 'Pain' }
const OFFERED = [{ valueCoding: { ...CODE, _display: { extension: [] } } }]
const QUESTIONNAIRE: Questionnaire = {
  resourceType: 'Questionnaire',
  url: 'urn:x',
  version: '1',
  status: 'active',
  item: [
    { linkId: 'reason', type: 'text', text: 'Why?', required: true },
    { linkId: 'fever', type: 'boolean', text: 'Fever?' },
    {
      linkId: 'since',
      type: 'date',
      text: 'Since?',
      enableWhen: [{ question: 'fever', operator: '=', answerBoolean: true }],
    },
    { linkId: 'which', type: 'choice', text: 'Which?', answerOption: OFFERED },
  ],
}
const text = (valueString: string) => [{ valueString }]

/** A clinic that answers at once, unless it is told to fail. */
class Clinic implements IntakeStore {
  answers: Answers = {}
  done = false
  version = 0
  kept: Draft | null = null
  saves: ReturnType<typeof responseOf>[] = []
  fails = false

  load = async (): Promise<Kept> => this.#kept()

  save = async (response: ReturnType<typeof responseOf>, etag: string): Promise<Kept> => {
    if (this.fails) throw new TypeError('unreachable')
    if (etag !== `"${this.version}"`) throw new Error('overtaken')
    this.saves.push(response)
    const kept = JSON.stringify(answersOf(response.item), (key, value) =>
      key === '_display' ? undefined : value,
    )
    this.write(JSON.parse(kept), response.status === 'completed')
    return this.#kept()
  }

  write(answers: Answers, done = false) {
    this.answers = answers
    this.done = done
    this.version += 1
  }

  draft = () => this.kept
  keepDraft = (draft: Draft | null) => {
    this.kept = draft
  }
  isOvertaken = (error: unknown) => error instanceof Error && error.message === 'overtaken'
  isClosed = () => false

  #kept(): Kept {
    const { answers, done, version } = this
    return {
      questionnaire: QUESTIONNAIRE,
      canonical: 'urn:x|1',
      required: true,
      closed: false,
      done,
      answers,
      etag: `"${version}"`,
    }
  }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

async function opened(clinic: Clinic): Promise<IntakeKeeper> {
  const keeper = new IntakeKeeper(clinic)
  keeper.open()
  await vi.advanceTimersByTimeAsync(0)
  return keeper
}

test('what is typed is in the tab at once and at the clinic a second later', async () => {
  const clinic = new Clinic()
  const keeper = await opened(clinic)
  keeper.set('reason', text('A'))
  expect(clinic.kept?.answers).toEqual({ reason: text('A') })
  await vi.advanceTimersByTimeAsync(500)
  keeper.set('reason', text('AB'))
  await vi.advanceTimersByTimeAsync(500)
  expect(clinic.answers).toEqual({ reason: text('AB') })
  expect(clinic.saves).toHaveLength(1)
  expect(clinic.kept).toBeNull()
})

test('a reload before the save loses nothing', async () => {
  const clinic = new Clinic()
  const first = await opened(clinic)
  first.set('reason', text('Cough'))
  const second = await opened(clinic)
  expect(second.state().answers).toEqual({ reason: text('Cough') })
  await vi.advanceTimersByTimeAsync(1000)
  expect(clinic.answers).toEqual({ reason: text('Cough') })
})

test('while the clinic cannot be reached it is tried again, and the tab keeps it', async () => {
  const clinic = new Clinic()
  const keeper = await opened(clinic)
  clinic.fails = true
  keeper.set('reason', text('Cough'))
  await vi.advanceTimersByTimeAsync(1000)
  expect(keeper.state().phase).toBe('failed')
  expect(clinic.kept?.answers).toEqual({ reason: text('Cough') })
  clinic.fails = false
  await vi.advanceTimersByTimeAsync(4000)
  expect(clinic.answers).toEqual({ reason: text('Cough') })
})

test('what somebody else wrote meanwhile stays, but for what was changed here', async () => {
  const clinic = new Clinic()
  const keeper = await opened(clinic)
  keeper.set('reason', text('Mine'))
  clinic.write({ reason: text('Theirs'), fever: [{ valueBoolean: true }] })
  await vi.advanceTimersByTimeAsync(6000)
  expect(clinic.answers).toEqual({ reason: text('Mine'), fever: [{ valueBoolean: true }] })
})

test('who says yes again finds what they had typed; meanwhile the clinic has nothing of it', async () => {
  const clinic = new Clinic()
  const keeper = await opened(clinic)
  keeper.set('fever', [{ valueBoolean: true }])
  keeper.set('since', [{ valueDate: '2026-01-31' }])
  keeper.set('fever', [{ valueBoolean: false }])
  await vi.advanceTimersByTimeAsync(1000)
  expect(clinic.answers).toEqual({ fever: [{ valueBoolean: false }] })
  keeper.set('fever', [{ valueBoolean: true }])
  await vi.advanceTimersByTimeAsync(1000)
  expect(clinic.answers).toEqual({ fever: [{ valueBoolean: true }], since: [{ valueDate: '2026-01-31' }] })
})

test('done is said once nothing is missing, and a change afterwards is a draft again', async () => {
  const clinic = new Clinic()
  const keeper = await opened(clinic)
  expect(await keeper.complete()).toEqual([{ linkId: 'reason', kind: 'required' }])
  expect(clinic.saves).toHaveLength(0)
  keeper.set('reason', text('Cough'))
  expect(await keeper.complete()).toEqual([])
  expect(clinic.done).toBe(true)
  keeper.set('reason', text('Cough and fever'))
  await vi.advanceTimersByTimeAsync(1000)
  expect(clinic.done).toBe(false)
  clinic.write({ reason: text('Cough') })
  expect(await keeper.complete()).toEqual([])
  expect(clinic.done).toBe(true)
})

test('an option that was chosen is saved once, though the clinic keeps no translations of it', async () => {
  const clinic = new Clinic()
  const keeper = await opened(clinic)
  keeper.set('which', OFFERED)
  await vi.advanceTimersByTimeAsync(1000)
  expect(clinic.answers).toEqual({ which: [{ valueCoding: CODE }] })
  keeper.set('reason', text('pain'))
  expect(await keeper.complete()).toEqual([])
  await vi.advanceTimersByTimeAsync(10_000)
  expect(clinic.done).toBe(true)
  expect(clinic.saves).toHaveLength(2)
})

test('answers merge one by one', () => {
  const base = { a: text('1'), b: text('1'), c: text('1') }
  expect(merged(base, { a: text('2'), b: text('1') }, { a: text('3'), b: text('3'), c: text('1') })).toEqual({
    a: text('2'),
    b: text('3'),
  })
})
