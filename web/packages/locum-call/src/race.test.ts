import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type MediaNode, ordered, race, type Track } from './race'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const nodes = (names: string): MediaNode[] => names.split(' ').map((id) => ({ id, urls: [`wss://${id}`] }))
const ids = (some: MediaNode[]) => some.map(({ id }) => id).join(' ')

/** Nodes by name: milliseconds of each round, `full`, or `dead`. */
type Ways = Record<string, number[] | 'full' | 'dead' | 'refused'>

function track(ways: Ways) {
  const asked: string[] = []
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
  const aborted: string[] = []
  const probe: Track['probe'] = async (url, signal) => {
    signal.addEventListener('abort', () => aborted.push(url))
    const name = url.replace('wss://', '')
    const round = asked.filter((before) => before === name).length
    asked.push(name)
    const way = ways[name] ?? 'dead'
    if (way === 'refused') throw new TypeError('refused')
    if (way === 'dead') return new Promise<boolean>(() => {})
    if (way === 'full') return false
    await pause(way[round] ?? Number.NaN)
    return true
  }
  return { probe, pause, nowMs: () => Date.now(), asked, aborted }
}

/** Runs a race to its end: the order, and how long it took. */
async function run(names: string, ways: Ways) {
  const on = track(ways)
  const begun = Date.now()
  const finished = race(nodes(names), on).then((order) => ({ order: ids(order), ms: Date.now() - begun }))
  await vi.runAllTimersAsync()
  return { ...(await finished), ...on }
}

test('the nearest of the first four wins, and the others keep their order', async () => {
  const { order, asked } = await run('a b c d e', {
    a: [300, 100],
    b: [300, 90],
    c: [120, 40],
    d: [300, 95],
    e: [1, 1],
  })
  expect(order).toBe('c a b d e')
  expect(asked).toHaveLength(8)
})

test('the clinic’s order stands against what is not clearly better', () => {
  const at = (a: number, b: number) =>
    ids(
      ordered(
        nodes('a b'),
        new Map([
          ['wss://a', a],
          ['wss://b', b],
        ]),
      ),
    )
  expect(at(20, 6)).toBe('a b')
  expect(at(20, 5)).toBe('b a')
  expect(at(200, 165)).toBe('a b')
  expect(at(200, 160)).toBe('b a')
  const three = new Map([
    ['wss://a', 50],
    ['wss://b', 30],
    ['wss://c', 28],
  ])
  expect(ids(ordered(nodes('a b c'), three))).toBe('b a c')
})

test('the better round counts: the first opens the connection', async () => {
  expect((await run('a b', { a: [200, 20], b: [60, 60] })).order).toBe('a b')
})

test('who does not answer, or is full, goes last and never out', async () => {
  const { order } = await run('a b c d e', { a: 'dead', b: 'full', c: [10, 10], d: 'refused', e: [1, 1] })
  expect(order).toBe('c e a b d')
})

test('a dead node holds nobody up once another is through', async () => {
  const { ms, aborted } = await run('a b', { a: 'dead', b: [20, 10] })
  expect(ms).toBe(20 + 10 + 150)
  expect(aborted).toContain('wss://a')
})

test('a slow but nearer first round does not lose against the grace of others', async () => {
  expect((await run('a b', { a: [120, 30], b: [30, 28] })).order).toBe('a b')
})

test('when nobody answers it is over after 800 ms, and the order is the clinic’s', async () => {
  const { order, ms } = await run('a b', { a: 'dead', b: 'dead' })
  expect([order, ms]).toEqual(['a b', 800])
})

test('when everybody is done it is over', async () => {
  expect((await run('a b', { a: 'full', b: 'refused' })).ms).toBe(0)
  expect((await run('a b', { a: [10, 10], b: [30, 20] })).ms).toBe(50)
})

test('of a node’s two lines the nearer comes first, and counts', () => {
  const two = { id: 'two', urls: ['wss://far', 'wss://near'] }
  const times = new Map([
    ['wss://a', 60],
    ['wss://far', 90],
    ['wss://near', 10],
  ])
  expect(ordered([...nodes('a'), two], times)[0]).toEqual({ id: 'two', urls: ['wss://near', 'wss://far'] })
})
