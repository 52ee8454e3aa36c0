import { isDirty, type NoteEvent, type NoteState, reduce, type Stored, UNLOADED } from './noteState'

/** From the first unsaved letter to the save: the clinic's copy is never older than this while the network is there. */
const SAVE_AFTER_MS = 1000
const RETRY_AFTER_MS = 4000

/** Where notes are kept. */
export interface NoteStore {
  load: () => Promise<Stored>
  /** Writes over the version with `etag`. */
  save: (text: string, etag: string) => Promise<Stored>
  /** Whether a save failed because somebody else's version is there now. */
  isOvertaken: (error: unknown) => boolean
  /** Whether loading again would be answered in the same way, until somebody asks for it. */
  isFinal?: (error: unknown) => boolean
}

/** Saves a note while it is being written: one save at a time, nobody's words overwritten unseen. */
export class NoteKeeper {
  readonly #store: NoteStore
  readonly #listeners = new Set<() => void>()
  #state: NoteState = UNLOADED
  #timer: ReturnType<typeof setTimeout> | undefined
  #running: Promise<void> | null = null
  #open = false

  constructor(store: NoteStore) {
    this.#store = store
  }

  readonly state = (): NoteState => this.#state

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Loads the note, and again until it is there. Returns how to close: what was just typed goes out at once. */
  open(): () => void {
    this.#open = true
    void this.#load()
    return () => {
      this.#open = false
      clearTimeout(this.#timer)
      void this.flush()
    }
  }

  send(event: NoteEvent): void {
    this.#state = reduce(this.#state, event)
    for (const listener of this.#listeners) listener()
    this.#schedule()
  }

  /** Saves now; whether everything typed is with the clinic afterwards. */
  async flush(): Promise<boolean> {
    await this.#running
    if (this.#unsaved()) await this.#save()
    return !isDirty(this.#state) && this.#state.theirs === null
  }

  #unsaved(): boolean {
    return isDirty(this.#state) && this.#state.theirs === null
  }

  /** The timer is not put off by further typing: a fast writer is saved every second, too. */
  #schedule(): void {
    if (this.#timer || this.#running || !this.#open || !this.#unsaved()) return
    const afterMs = this.#state.phase === 'failed' ? RETRY_AFTER_MS : SAVE_AFTER_MS
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#unsaved()) void this.#save()
    }, afterMs)
  }

  #save(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#running ??= this.#saveOnce().finally(() => {
      this.#running = null
      this.#schedule()
    })
    return this.#running
  }

  async #saveOnce(): Promise<void> {
    const { text, saved } = this.#state
    if (text === null || saved === null) return
    this.send({ kind: 'saving' })
    try {
      this.send({ kind: 'saved', stored: await this.#store.save(text, saved.etag) })
    } catch (error) {
      const theirs = this.#store.isOvertaken(error) ? await this.#store.load().catch(() => null) : null
      this.send(theirs ? { kind: 'overtaken', stored: theirs } : { kind: 'failed' })
    }
  }

  async #load(): Promise<void> {
    try {
      const stored = await this.#store.load()
      // Opened twice, or typed into meanwhile: the first answer counts.
      if (this.#state.text === null) this.send({ kind: 'loaded', stored })
    } catch (error) {
      if (!this.#open || this.#store.isFinal?.(error)) return
      this.#timer = setTimeout(() => this.reload(), RETRY_AFTER_MS)
    }
  }

  /** Loads the note again that could not be loaded. */
  reload(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    void this.#load()
  }
}
