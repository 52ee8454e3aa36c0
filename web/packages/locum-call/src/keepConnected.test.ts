import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Phase } from './grant'
import { keepConnected, type Line, type Place, pauseMs } from './keepConnected'
import type { MediaNode } from './race'
import type { End, Kind, Seen, Stay } from './stay'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

class Refused extends Error {}

const OTHER: Seen = new Map([['other', new Set<Kind>(['audio', 'video'])]])
const SOUND: Seen = new Map([['other', new Set<Kind>(['audio'])]])
const NOBODY: Seen = new Map()

/** A stay whose end the test decides. */
class FakeStay implements Stay {
  end: (end: End) => void = () => {}
  #revived = () => {}
  #isRevived = false
  left = false
  alone = false
  seen: Seen = NOBODY

  constructor(
    readonly node: string,
    readonly before: string | undefined,
  ) {}

  ends = (signal: AbortSignal) =>
    new Promise<End>((resolve) => {
      this.end = resolve
      signal.addEventListener('abort', () => resolve({ why: 'lost' }))
    })
  revives = () =>
    new Promise<void>((resolve) => {
      this.#revived = resolve
      if (this.#isRevived) resolve()
    })
  revive = () => {
    this.#isRevived = true
    this.#revived()
  }
  tokens: string[] = []
  renew = (token: string) => void this.tokens.push(token)
  showed = () => OTHER
  shows = async () => this.seen
  isAlone = () => this.alone
  leave = () => {
    this.left = true
  }
}

interface Script {
  /** Fails when the clinic does; `count` is that of this question. */
  join?: (count: number) => void
  nodes?: string[]
  /** Others are in the call; `unsaid` by the release before. */
  running?: boolean | 'unsaid'
  race?: (nodes: MediaNode[]) => MediaNode[]
  /** How long a grant is good. */
  lastsMs?: number
  /** Fails when the node does; `nth` is that of this attempt. */
  connect?: (url: string, nth: number) => void | Promise<void>
  /** What is seen at a stay from when it was entered. */
  seen?: Seen
}

/** A line whose nodes fail as scripted. */
function line(script: Script = {}) {
  const stop = new AbortController()
  const said: Phase[] = []
  const urls: string[] = []
  const asked: string[] = []
  const stays: FakeStay[] = []
  const shown: string[] = []
  const parts: Line<FakeStay> = {
    join: async () => {
      const token = `token-${asked.length + 1}`
      asked.push(token)
      script.join?.(asked.length)
      const ids = script.nodes ?? ['a', 'b']
      if (script.running === 'unsaid') return { token, nodes: ids.map((id) => ({ id, url: `ws://${id}` })) }
      const nodes = ids.map((id) => ({ id, url: `ws://${id}`, urls: [`ws://${id}`, `ws://${id}-2`] }))
      const expiresAt = script.lastsMs && new Date(Date.now() + script.lastsMs).toISOString()
      return { token, nodes, running: script.running ?? false, ...(expiresAt && { expiresAt }) }
    },
    race: async (nodes) => (script.race ?? ((same: MediaNode[]) => same))(nodes),
    connect: async ({ node, url, token }: Place, before, signal) => {
      urls.push(`${url} ${token}`)
      await script.connect?.(url, urls.length)
      if (signal.aborted) throw new Error('aborted')
      const stay = new FakeStay(node, before?.node)
      stay.seen = script.seen ?? OTHER
      stays.push(stay)
      return stay
    },
    show: (stay) => shown.push(stay.node),
    isFinal: (error) => error instanceof Refused,
    say: (phase) => said.push(phase),
    nowMs: () => Date.now(),
    clinicMs: () => Date.now(),
    pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  }
  const ended = keepConnected(parts, stop.signal)
  ended.catch(() => undefined)
  /** The stay that the person sees, once everything that can happen within `ms` has. */
  const within = async (ms: number) => {
    await vi.advanceTimersByTimeAsync(ms)
    return stays.findLast((stay) => stay.node === shown.at(-1)) as FakeStay
  }
  return { ended, within, stop, said, urls, asked, stays, shown }
}

function fail(): never {
  throw new Error('no route')
}

const LOST: End = { why: 'lost' }
const moving = (withinMs: number): End => ({ why: 'moving', byMs: Date.now() + withinMs })

test('the second node is tried with the same token when the first does not answer', async () => {
  const call = line({ connect: (url) => (url.startsWith('ws://a') ? fail() : undefined) })
  await call.within(0)
  expect(call.urls).toEqual(['ws://a token-1', 'ws://a-2 token-1', 'ws://b token-1'])
  expect(call.said).toEqual(['joining', 'connected'])
})

test('after a loss the next node is entered with the same token, and the clinic is not asked', async () => {
  const call = line()
  const first = await call.within(0)
  first.end(LOST)
  const second = await call.within(0)
  expect(call.urls).toEqual(['ws://a token-1', 'ws://b token-1'])
  expect(call.said).toEqual(['joining', 'connected', 'reconnecting', 'connected'])
  expect([first.left, second.left, second.before]).toEqual([true, false, 'a'])
  expect(call.asked).toHaveLength(1)
})

test('a line that is stale is no fault of its node, which is entered again first', async () => {
  const call = line()
  const first = await call.within(0)
  first.end({ why: 'stale' })
  const second = await call.within(0)
  expect(call.urls).toEqual(['ws://a token-1', 'ws://a token-1'])
  expect(call.said).toEqual(['joining', 'connected', 'reconnecting', 'connected'])
  expect([first.left, second.left, second.before]).toEqual([true, false, 'a'])
})

test('a lost node is tried last, also when the clinic names it first, and for a minute', async () => {
  const call = line({ nodes: ['a', 'b', 'c'], running: true })
  ;(await call.within(0)).end(LOST)
  ;(await call.within(1_000)).end({ why: 'dismissed' })
  expect((await call.within(1_000)).node).toBe('c')
  expect(call.urls).toEqual(['ws://a token-1', 'ws://b token-1', 'ws://c token-2'])
  ;(await call.within(60_000)).end(LOST)
  expect((await call.within(0)).node).toBe('a')
})

test('a visit that overruns goes on with a fresh token, also when its node is lost later', async () => {
  const call = line({ lastsMs: 30 * 60_000 })
  const first = await call.within(26 * 60_000)
  expect([first.tokens, first.left]).toEqual([['token-2'], false])
  first.end(LOST)
  await call.within(0)
  expect(call.urls).toEqual(['ws://a token-1', 'ws://b token-2'])
})

test('who is sent away asks the clinic before coming back', async () => {
  const call = line()
  ;(await call.within(0)).end({ why: 'dismissed' })
  await call.within(0)
  expect(call.urls).toEqual(['ws://a token-1', 'ws://b token-2'])
})

test('when no node of the grant can be entered a fresh one is asked for', async () => {
  const call = line({ connect: (_, nth) => (nth > 1 && nth < 6 ? fail() : undefined) })
  ;(await call.within(0)).end(LOST)
  await call.within(0)
  expect(call.asked).toHaveLength(2)
  expect(call.urls.at(-1)).toBe('ws://b token-2')
})

test('after a loss something of the others is waited for, and not for ever', async () => {
  const call = line({ seen: NOBODY })
  ;(await call.within(0)).end(LOST)
  await call.within(2_000)
  expect([call.shown, call.said.at(-1)]).toEqual([['a'], 'reconnecting'])
  const next = call.stays[1] as FakeStay
  next.seen = SOUND
  await call.within(50)
  expect([call.shown, call.said.at(-1)]).toEqual([['a', 'b'], 'connected'])
  next.end(LOST)
  await call.within(5_000)
  expect(call.shown).toEqual(['a', 'b', 'a'])
})

test('a line that comes back by itself is kept, and what was begun elsewhere is left', async () => {
  const call = line({ seen: NOBODY })
  const first = await call.within(0)
  first.end(LOST)
  await call.within(1_000)
  first.revive()
  await call.within(50)
  expect(call.stays.map(({ left }) => left)).toEqual([false, true])
  expect([call.shown, call.said.at(-1)]).toEqual([['a'], 'connected'])
  expect(first.left).toBe(false)
})

test('a node that is entered too late, when the line is back, is left at once', async () => {
  let enter = () => {}
  const slow = new Promise<void>((resolve) => {
    enter = resolve
  })
  const call = line({ connect: (_, nth) => (nth > 1 ? slow : undefined) })
  const first = await call.within(0)
  first.end(LOST)
  await call.within(100)
  first.revive()
  await call.within(0)
  enter()
  await call.within(10_000)
  expect([call.shown, call.stays.length, first.left]).toEqual([['a'], 1, false])
})

test('a move goes on at the old node until all that was seen there is seen at the next', async () => {
  const call = line({ seen: SOUND })
  const first = await call.within(0)
  first.end(moving(5_000))
  await call.within(3_000)
  expect([call.shown, call.said.at(-1), first.left]).toEqual([['a'], 'moving', false])
  const next = call.stays[1] as FakeStay
  next.seen = OTHER
  await call.within(50)
  expect([call.shown, call.said.at(-1), first.left]).toEqual([['a', 'b'], 'connected', false])
  // The others still look there.
  await call.within(1_000)
  expect(first.left).toBe(false)
  first.alone = true
  await call.within(250)
  expect([first.left, next.left]).toEqual([true, false])
  expect(call.asked).toHaveLength(1)
})

test('a move is made before the node sends anybody away, whoever came along', async () => {
  const call = line({ seen: NOBODY })
  ;(await call.within(0)).end(moving(5_000))
  await call.within(4_400)
  expect(call.shown).toEqual(['a'])
  await call.within(200)
  expect(call.shown).toEqual(['a', 'b'])
  await call.within(300)
  expect(call.stays.map(({ left }) => left)).toEqual([true, false])
})

test('a node that goes away is not entered again, and kept when it stays after all', async () => {
  const call = line({ nodes: ['a'] })
  const only = await call.within(0)
  only.end(moving(5_000))
  await call.within(2_000)
  expect(call.urls).toHaveLength(1)
  only.revive()
  await call.within(10_000)
  expect([call.said.at(-1), only.left]).toEqual(['connected', false])
})

test('leaving ends everything, also in the middle of a move', async () => {
  const call = line({ seen: NOBODY })
  ;(await call.within(0)).end(moving(5_000))
  await call.within(1_000)
  call.stop.abort()
  await call.within(0)
  await call.ended
  expect(call.stays.map(({ left }) => left)).toEqual([true, true])
})

test('a refusal ends it at once', async () => {
  const call = line({
    join: () => {
      throw new Refused()
    },
  })
  await expect(call.ended).rejects.toBeInstanceOf(Refused)
  expect(call.urls).toEqual([])
})

test('after a minute of trying it says that it failed instead of trying for ever', async () => {
  const call = line({ connect: fail })
  await call.within(120_000)
  await call.ended
  expect(call.said).toEqual(['joining', 'failed'])
  expect(call.urls).toHaveLength(48)
})

test.each([false, true])('everybody takes the nearest node, and asks once', async (running) => {
  const call = line({ running, race: (nodes) => nodes.toReversed() })
  await call.within(0)
  expect(call.urls).toEqual(['ws://b token-1'])
  expect(call.asked).toHaveLength(1)
})

test('a call comes back with the grant it has while the clinic gives no other', async () => {
  const call = line({
    join: (count) => (count > 1 ? fail() : undefined),
    connect: (_, nth) => (nth > 1 && nth < 7 ? fail() : undefined),
  })
  ;(await call.within(0)).end(LOST)
  await call.within(1_000)
  expect(call.urls.slice(1)).toEqual(
    ['b', 'b-2', 'a', 'a-2', 'b', 'b-2'].map((node) => `ws://${node} token-1`),
  )
  expect(call.said).toEqual(['joining', 'connected', 'reconnecting', 'connected'])
})

test('the nearer line of a node is tried first', async () => {
  const turned = (nodes: MediaNode[]) => nodes.map(({ id, urls }) => ({ id, urls: urls.toReversed() }))
  const asTold = line({ race: turned })
  await asTold.within(0)
  expect(asTold.urls).toEqual(['ws://a-2 token-1'])
  const chosen = line({ race: (nodes) => turned(nodes).toReversed() })
  await chosen.within(0)
  expect(chosen.urls).toEqual(['ws://b-2 token-1'])
})

test('a grant of the release before is good as it is', async () => {
  const call = line({
    running: 'unsaid',
    race: fail,
    connect: (url) => (url === 'ws://a' ? fail() : undefined),
  })
  await call.within(0)
  expect(call.asked).toHaveLength(1)
  expect(call.urls).toEqual(['ws://a token-1', 'ws://b token-1'])
})

test('pauses grow and are bounded', () => {
  expect([1, 2, 3].map(pauseMs)).toEqual([500, 1000, 2000])
  expect(pauseMs(30)).toBe(8000)
})
