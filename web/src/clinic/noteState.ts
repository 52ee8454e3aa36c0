/** The note as the clinic has it. */
export interface Stored {
  text: string
  etag: string
  author: string | null
  updatedAt: string | null
}

export interface NoteState {
  /** What stands in the box; `null` until the note has been loaded. */
  text: string | null
  /** What the clinic last confirmed. */
  saved: Stored | null
  phase: 'idle' | 'saving' | 'failed'
  /** Somebody else saved in between: both texts are kept until a person chooses. */
  theirs: Stored | null
}

export type NoteEvent =
  | { kind: 'loaded'; stored: Stored }
  | { kind: 'typed'; text: string }
  | { kind: 'saving' }
  | { kind: 'saved'; stored: Stored }
  | { kind: 'failed' }
  | { kind: 'overtaken'; stored: Stored }
  | { kind: 'keepMine' }
  | { kind: 'takeTheirs' }

export const UNLOADED: NoteState = { text: null, saved: null, phase: 'idle', theirs: null }

export function reduce(state: NoteState, event: NoteEvent): NoteState {
  switch (event.kind) {
    case 'loaded':
      return { text: event.stored.text, saved: event.stored, phase: 'idle', theirs: null }
    case 'typed':
      return { ...state, text: event.text }
    case 'saving':
      return { ...state, phase: 'saving' }
    case 'saved':
      return { ...state, saved: event.stored, phase: 'idle' }
    case 'failed':
      return { ...state, phase: 'failed' }
    case 'overtaken':
      // The same words need nobody's decision.
      if (event.stored.text === state.text)
        return { ...state, saved: event.stored, phase: 'idle', theirs: null }
      return { ...state, phase: 'idle', theirs: event.stored }
    case 'keepMine':
      return state.theirs ? { ...state, saved: state.theirs, theirs: null } : state
    case 'takeTheirs':
      return state.theirs
        ? { text: state.theirs.text, saved: state.theirs, phase: 'idle', theirs: null }
        : state
  }
}

export function isDirty({ text, saved }: NoteState): boolean {
  return text !== null && saved !== null && text !== saved.text
}

export type Shown = 'loading' | 'conflict' | 'saving' | 'failed' | 'unsaved' | 'saved' | 'empty'

/** The one word about the note's safety that the person sees. */
export function shownAs(state: NoteState): Shown {
  if (state.text === null) return 'loading'
  if (state.theirs) return 'conflict'
  if (state.phase !== 'idle') return state.phase
  if (isDirty(state)) return 'unsaved'
  return state.saved?.updatedAt ? 'saved' : 'empty'
}
