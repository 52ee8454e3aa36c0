import {
  type Answer,
  type Answers,
  answersOf,
  lookAt,
  type Mistake,
  nested,
  type Questionnaire,
} from './rules'

/** From the first unsaved letter to the save. */
const SAVE_AFTER_MS = 1000
const RETRY_AFTER_MS = 4000

/** The answers as the clinic has them. */
export interface Kept {
  /** `null`: nothing is asked. */
  questionnaire: Questionnaire | null
  /** Its name, as answers give it. */
  canonical: string
  required: boolean
  /** Nothing more can be changed. */
  closed: boolean
  done: boolean
  answers: Answers
  etag: string
}

/** What this tab knows beyond that: it outlives a reload. */
export interface Draft {
  /** What the clinic had when it was typed. */
  base: Answers
  answers: Answers
}

export interface IntakeStore {
  load: () => Promise<Kept>
  save: (body: ReturnType<typeof responseOf>, etag: string) => Promise<Kept>
  draft: () => Draft | null
  keepDraft: (draft: Draft | null) => void
  /** Somebody else has written, or something else is asked: load and go on. */
  isOvertaken: (error: unknown) => boolean
  /** Nothing more can be changed. */
  isClosed: (error: unknown) => boolean
}

export interface IntakeState {
  kept: Kept | null
  /** Of what is asked and of what was: who says yes again finds what they had typed. */
  answers: Answers
  phase: 'loading' | 'idle' | 'saving' | 'failed'
}

/** Saves answers while they are given: one save at a time, in the tab at once, at the clinic a second later. */
export class IntakeKeeper {
  readonly #store: IntakeStore
  readonly #listeners = new Set<() => void>()
  #state: IntakeState = { kept: null, answers: {}, phase: 'loading' }
  #timer: ReturnType<typeof setTimeout> | undefined
  #running: Promise<void> | null = null
  #open = false

  constructor(store: IntakeStore) {
    this.#store = store
  }

  readonly state = (): IntakeState => this.#state

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Loads, and again until it is there. Returns how to close: what was just typed goes out at once. */
  open(): () => void {
    this.#open = true
    void this.#load()
    return () => {
      this.#open = false
      clearTimeout(this.#timer)
      this.#timer = undefined
      void this.flush()
    }
  }

  set(linkId: string, given: readonly Answer[]): void {
    const answers = { ...this.#state.answers, [linkId]: given }
    if (given.length === 0) delete (answers as Record<string, unknown>)[linkId]
    this.#become({ answers })
    this.#keepDraft()
    this.#schedule()
  }

  /** Saves now; whether everything that can be taken is with the clinic afterwards. */
  async flush(): Promise<boolean> {
    await this.#running
    if (this.#isDirty()) await this.#save(false)
    return !this.#isDirty()
  }

  /** Says that the patient is done; or what is still wrong. `null`: the clinic could not be told. */
  async complete(): Promise<readonly Mistake[] | null> {
    const { kept, answers } = this.#state
    if (!kept?.questionnaire) return null
    const { mistakes } = lookAt(kept.questionnaire.item, answers, true)
    // What is not asked any more is left out, not wrong.
    const wrong = mistakes.filter(({ kind }) => kind !== 'disabled')
    if (wrong.length > 0) return wrong
    await this.#running
    await this.#save(true)
    return this.#state.kept?.done ? [] : null
  }

  #become(change: Partial<IntakeState>) {
    this.#state = { ...this.#state, ...change }
    for (const listener of this.#listeners) listener()
  }

  #isDirty(): boolean {
    const { kept, answers } = this.#state
    if (!kept?.questionnaire || kept.closed) return false
    return !isEqual(lookAt(kept.questionnaire.item, answers, false).taken, kept.answers)
  }

  #keepDraft() {
    const { kept, answers } = this.#state
    const isKept = !kept || isEqual(answers, kept.answers)
    this.#store.keepDraft(isKept ? null : { base: kept.answers, answers })
  }

  #schedule() {
    if (this.#timer || this.#running || !this.#open || !this.#isDirty()) return
    const afterMs = this.#state.phase === 'failed' ? RETRY_AFTER_MS : SAVE_AFTER_MS
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#isDirty()) void this.#save(false)
    }, afterMs)
  }

  #save(done: boolean): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#running ??= this.#saveOnce(done).finally(() => {
      this.#running = null
      this.#schedule()
    })
    return this.#running
  }

  async #saveOnce(done: boolean): Promise<void> {
    const { kept, answers } = this.#state
    if (!kept?.questionnaire) return
    this.#become({ phase: 'saving' })
    try {
      const saved = await this.#store.save(responseOf(kept, answers, done), kept.etag)
      this.#become({ kept: saved, phase: 'idle' })
    } catch (error) {
      if (this.#store.isClosed(error)) this.#become({ kept: { ...kept, closed: true }, phase: 'idle' })
      else if (this.#store.isOvertaken(error)) await this.#takeIn(done)
      else this.#become({ phase: 'failed' })
    }
    this.#keepDraft()
  }

  /** Theirs, and over it what was changed here. */
  async #takeIn(done: boolean): Promise<void> {
    const before = this.#state.kept
    const theirs = await this.#store.load().catch(() => null)
    if (!theirs) return this.#become({ phase: 'failed' })
    const answers = merged(before?.answers ?? {}, this.#state.answers, theirs.answers)
    this.#become({ kept: theirs, answers, phase: 'failed' })
    if (!done || !theirs.questionnaire || theirs.closed) return
    const { mistakes } = lookAt(theirs.questionnaire.item, answers, true)
    if (mistakes.some(({ kind }) => kind !== 'disabled')) return
    const saving = this.#store.save(responseOf(theirs, answers, true), theirs.etag)
    const saved = await saving.catch(() => null)
    if (saved) this.#become({ kept: saved, phase: 'idle' })
  }

  async #load(): Promise<void> {
    try {
      const kept = await this.#store.load()
      if (this.#state.kept) return
      const draft = this.#store.draft()
      const answers = draft ? merged(draft.base, draft.answers, kept.answers) : kept.answers
      this.#become({ kept, answers, phase: 'idle' })
      this.#schedule()
    } catch (error) {
      if (!this.#open) return
      this.#become({ phase: this.#store.isClosed(error) ? 'idle' : 'loading' })
      if (!this.#store.isClosed(error)) this.#timer = setTimeout(() => this.#again(), RETRY_AFTER_MS)
    }
  }

  #again() {
    this.#timer = undefined
    void this.#load()
  }
}

/** What was changed here over what was changed elsewhere, answer by answer. */
export function merged(base: Answers, mine: Answers, theirs: Answers): Answers {
  const all: Record<string, readonly Answer[]> = {}
  for (const linkId of new Set([...Object.keys(mine), ...Object.keys(theirs)])) {
    const changed = !isEqual(mine[linkId] ?? [], base[linkId] ?? [])
    const given = (changed ? mine : theirs)[linkId] ?? []
    if (given.length > 0) all[linkId] = given
  }
  return all
}

/** The response to send: answers to what is asked. */
export function responseOf({ questionnaire, canonical }: Kept, answers: Answers, done: boolean) {
  const items = questionnaire?.item ?? []
  return {
    resourceType: 'QuestionnaireResponse' as const,
    questionnaire: canonical,
    status: done ? ('completed' as const) : ('in-progress' as const),
    item: nested(items, lookAt(items, answers, false).taken),
  }
}

export { answersOf }

function isEqual(one: unknown, other: unknown): boolean {
  return canonical(one) === canonical(other)
}

/**
 * The same text for the same values, in whatever order their members came. A code is its system and code: the clinic keeps
 * none of the translations that came with the question.
 */
function canonical(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    if (key === 'valueCoding') return codeOf(inner as NonNullable<Answer['valueCoding']>)
    return inner && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner
  })
}

function codeOf({ system, code }: NonNullable<Answer['valueCoding']>): string {
  return `${system ?? ''}|${code}`
}
