import { expect, test } from 'vitest'
import { isDirty, type NoteEvent, type NoteState, reduce, type Stored, shownAs, UNLOADED } from './noteState'

function stored(text: string, etag: string): Stored {
  return { text, etag, author: 'Dr Example', updatedAt: '2026-03-02T08:00:00Z' }
}

function after(...events: NoteEvent[]): NoteState {
  return events.reduce(reduce, UNLOADED)
}

const loaded: NoteEvent = { kind: 'loaded', stored: stored('Cough.', '"1"') }

test('nothing is called saved before it was loaded or while it was changed', () => {
  expect(shownAs(UNLOADED)).toBe('loading')
  expect(shownAs(after(loaded))).toBe('saved')
  expect(shownAs(after(loaded, { kind: 'typed', text: 'Cough, 3 days.' }))).toBe('unsaved')
})

test('what was typed while saving stays unsaved', () => {
  const state = after(
    loaded,
    { kind: 'typed', text: 'a' },
    { kind: 'saving' },
    { kind: 'typed', text: 'ab' },
    { kind: 'saved', stored: stored('a', '"2"') },
  )
  expect(isDirty(state)).toBe(true)
  expect(shownAs(state)).toBe('unsaved')
  expect(state.saved?.etag).toBe('"2"')
})

test('a conflict keeps both texts until somebody chooses', () => {
  const conflict = after(
    loaded,
    { kind: 'typed', text: 'mine' },
    { kind: 'saving' },
    { kind: 'overtaken', stored: stored('theirs', '"7"') },
  )
  expect(shownAs(conflict)).toBe('conflict')
  expect([conflict.text, conflict.theirs?.text]).toEqual(['mine', 'theirs'])

  const mine = reduce(conflict, { kind: 'keepMine' })
  expect([mine.text, mine.saved?.etag, isDirty(mine)]).toEqual(['mine', '"7"', true])
  const theirs = reduce(conflict, { kind: 'takeTheirs' })
  expect([theirs.text, isDirty(theirs)]).toEqual(['theirs', false])
})

test('the same words written twice are no conflict', () => {
  const state = after(
    loaded,
    { kind: 'typed', text: 'same' },
    { kind: 'saving' },
    { kind: 'overtaken', stored: stored('same', '"3"') },
  )
  expect(shownAs(state)).toBe('saved')
})

test('a failed save is told, and the text is still there', () => {
  const state = after(loaded, { kind: 'typed', text: 'x' }, { kind: 'saving' }, { kind: 'failed' })
  expect([shownAs(state), state.text]).toEqual(['failed', 'x'])
})
