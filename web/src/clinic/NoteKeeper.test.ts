import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { NoteKeeper } from './NoteKeeper'
import { type Stored, shownAs } from './noteState'

class Overtaken extends Error {}

/** The clinic's one note, with another writer and a network that can be cut. */
function clinic() {
  let version = 1
  let text = ''
  let connected = true
  let attempts = 0
  const writes: string[] = []
  const stored = (): Stored => ({
    text,
    etag: String(version),
    author: null,
    updatedAt: '2026-03-02T08:00:00Z',
  })
  const write = (next: string) => {
    text = next
    version += 1
    writes.push(next)
  }
  const keeper = new NoteKeeper({
    load: async () => stored(),
    save: async (next, etag) => {
      attempts += 1
      if (!connected) throw new TypeError('Failed to fetch')
      if (etag !== String(version)) throw new Overtaken()
      write(next)
      return stored()
    },
    isOvertaken: (error) => error instanceof Overtaken,
  })
  return {
    keeper,
    writes,
    attempts: () => attempts,
    shown: () => shownAs(keeper.state()),
    otherWriter: write,
    connect: (on: boolean) => {
      connected = on
    },
  }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

async function opened() {
  const scene = clinic()
  scene.keeper.open()
  await vi.advanceTimersByTimeAsync(0)
  return scene
}

test('somebody who never stops typing is saved every second', async () => {
  const { keeper, writes } = await opened()
  for (let letters = 1; letters <= 25; letters++) {
    keeper.send({ kind: 'typed', text: 'x'.repeat(letters) })
    await vi.advanceTimersByTimeAsync(100)
  }
  expect(writes.length).toBeGreaterThanOrEqual(2)
  await vi.advanceTimersByTimeAsync(1000)
  expect(writes.at(-1)).toBe('x'.repeat(25))
})

test('a network that is cut is told, tried again, and nothing is lost', async () => {
  const { keeper, writes, shown, connect } = await opened()
  connect(false)
  keeper.send({ kind: 'typed', text: 'fever' })
  await vi.advanceTimersByTimeAsync(1000)
  expect(shown()).toBe('failed')
  connect(true)
  await vi.advanceTimersByTimeAsync(4000)
  expect([shown(), writes]).toEqual(['saved', ['fever']])
})

test('another writer’s text is never overwritten unseen', async () => {
  const { keeper, writes, attempts, shown, otherWriter } = await opened()
  otherWriter('from the nurse')
  keeper.send({ kind: 'typed', text: 'from the doctor' })
  await vi.advanceTimersByTimeAsync(60_000)
  expect([shown(), writes]).toEqual(['conflict', ['from the nurse']])
  expect(await keeper.flush()).toBe(false)
  expect(attempts(), 'nothing is tried until somebody has chosen').toBe(1)

  keeper.send({ kind: 'keepMine' })
  await vi.advanceTimersByTimeAsync(1000)
  expect([shown(), writes.at(-1)]).toEqual(['saved', 'from the doctor'])
})

test('flush says whether everything is with the clinic', async () => {
  const { keeper, writes, connect } = await opened()
  keeper.send({ kind: 'typed', text: 'a' })
  expect(await keeper.flush()).toBe(true)
  connect(false)
  keeper.send({ kind: 'typed', text: 'ab' })
  expect(await keeper.flush()).toBe(false)
  expect(writes).toEqual(['a'])
})

test('closing saves what was just typed', async () => {
  const scene = clinic()
  const close = scene.keeper.open()
  await vi.advanceTimersByTimeAsync(0)
  scene.keeper.send({ kind: 'typed', text: 'last words' })
  close()
  await vi.advanceTimersByTimeAsync(0)
  expect(scene.writes).toEqual(['last words'])
})
