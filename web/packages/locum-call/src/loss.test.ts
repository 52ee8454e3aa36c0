import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LOOK_EVERY_MS, untilHeard, untilLost, Watchdog } from './loss'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

interface Moment {
  arrives?: boolean
  /** There is nothing to count by. */
  blind?: boolean
  reconnecting?: boolean
  /** Nobody sends anything. */
  quiet?: boolean
  /** The device has said that its network changed. */
  changed?: boolean
}

/** A watchdog that looks every quarter of a second. */
function watched() {
  const dog = new Watchdog()
  let [nowMs, arrived] = [0, 100]
  /** Looks for so long; every verdict on the way. */
  const during = (ms: number, moment: Moment) => {
    const { arrives = false, blind = false, reconnecting = false, quiet = false, changed = false } = moment
    const changedMs = changed ? nowMs : Number.NEGATIVE_INFINITY
    const verdicts = []
    for (const end = nowMs + ms; nowMs < end; nowMs += LOOK_EVERY_MS) {
      if (arrives) arrived += 10
      const seen = { arrived: blind ? null : arrived, reconnecting, expected: !quiet, changedMs }
      verdicts.push(dog.look({ nowMs, ...seen }))
    }
    return verdicts
  }
  const busy = () => expect(new Set(during(4_000, { arrives: true }))).toEqual(new Set(['well']))
  const sleep = (ms: number) => {
    nowMs += ms
  }
  return { dog, during, busy, sleep }
}

test('a busy line that falls silent is doubted after half a second', () => {
  const { during, busy } = watched()
  busy()
  const verdicts = during(3_000, {})
  expect(verdicts.indexOf('doubtful') * LOOK_EVERY_MS).toBe(250)
  expect(verdicts).not.toContain('lost')
})

test('it is lost when the node does not answer, and stale when it does', () => {
  for (const answers of [false, true]) {
    const { dog, during, busy } = watched()
    busy()
    during(2_000, {})
    dog.answered(answers)
    expect(during(250, {})).toEqual([answers ? 'stale' : 'lost'])
  }
})

test('it is stale after two seconds, sooner on another network, and not while nobody has anything to say', () => {
  const staleAfterMs = (moment: Moment) => {
    const { dog, during, busy } = watched()
    busy()
    during(500, moment)
    dog.answered(true)
    const verdicts = during(4_000, moment)
    expect(verdicts).not.toContain('lost')
    return verdicts.includes('stale') ? verdicts.indexOf('stale') * LOOK_EVERY_MS + 500 : 'never'
  }
  expect(staleAfterMs({})).toBe(1_750)
  expect(staleAfterMs({ changed: true })).toBe(750)
  expect(staleAfterMs({ quiet: true })).toBe('never')
})

test('an answer of before counts no more once something arrived', () => {
  const { dog, during, busy } = watched()
  busy()
  during(2_000, {})
  dog.answered(false)
  during(250, { arrives: true })
  expect(during(2_000, {})).not.toContain('lost')
})

test('a quiet line has six seconds, whatever the SDK does', () => {
  for (const reconnecting of [false, true]) {
    const { during } = watched()
    const verdicts = during(20_000, { reconnecting })
    expect(verdicts.indexOf('lost') * LOOK_EVERY_MS).toBe(6_000)
  }
})

test('a quiet line on which checks are answered is well', () => {
  const { during } = watched()
  for (let i = 0; i < 10; i++) {
    during(250, { arrives: true })
    expect(during(2_250, {})).not.toContain('doubtful')
  }
})

test('an SDK that reconnects while media flows has lost nothing', () => {
  const { during, busy } = watched()
  busy()
  expect(new Set(during(10_000, { arrives: true, reconnecting: true }))).toEqual(new Set(['well']))
})

test('an SDK that reconnects in vain on a line that was busy has lost it after a second and a half', () => {
  const { dog, during, busy } = watched()
  busy()
  expect(during(500, { reconnecting: true }).at(-1)).toBe('doubtful')
  dog.answered(true)
  const verdicts = during(3_000, { blind: true, reconnecting: true })
  expect(verdicts.indexOf('lost') * LOOK_EVERY_MS + 500).toBe(1_250)
})

test('nothing to count by is no silence', () => {
  const { during } = watched()
  expect(new Set(during(30_000, { blind: true }))).toEqual(new Set(['well']))
})

test('a page that slept has missed nothing', () => {
  const { during, busy, sleep } = watched()
  busy()
  sleep(60_000)
  expect(during(250, {})).toEqual(['well'])
  expect(during(1_000, {})).not.toContain('lost')
})

/** A line that is driven in time, and a node that may be asked. */
function driven(answers: () => Promise<boolean>) {
  const line = { count: 0, flows: true, isReconnecting: false, isExpected: true }
  const watching = {
    arrived: async () => (line.flows ? ++line.count : line.count),
    reconnecting: () => line.isReconnecting,
    expected: () => line.isExpected,
    changedMs: () => Number.NEGATIVE_INFINITY,
  }
  const asked = vi.fn(answers)
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
  const world = { nowMs: () => Date.now(), pause, answers: asked }
  return { line, watching, world, asked }
}

async function lostAfterMs(promise: Promise<string>): Promise<number> {
  const begun = Date.now()
  const end = promise.then(() => Date.now() - begun)
  await vi.advanceTimersByTimeAsync(20_000)
  return end
}

test('a killed node, whose socket closes and which refuses to be asked, is lost within half a second', async () => {
  const { line, watching, world, asked } = driven(async () => false)
  const lost = untilLost(watching, world, new AbortController().signal)
  await vi.advanceTimersByTimeAsync(4_000)
  expect(asked).not.toHaveBeenCalled()
  Object.assign(line, { flows: false, isReconnecting: true })
  expect(await lostAfterMs(lost)).toBeLessThanOrEqual(750)
  expect(asked).toHaveBeenCalledOnce()
})

test('a node that answers nothing is lost a second after it was asked', async () => {
  const { line, watching, world } = driven(() => new Promise(() => {}))
  const lost = untilLost(watching, world, new AbortController().signal)
  await vi.advanceTimersByTimeAsync(4_000)
  line.flows = false
  expect(await lostAfterMs(lost)).toBeLessThanOrEqual(2_000)
})

test('a node that answers while nothing has to arrive is asked once a second, until that is too long', async () => {
  const { line, watching, world, asked } = driven(async () => true)
  line.isExpected = false
  const lost = untilLost(watching, world, new AbortController().signal)
  await vi.advanceTimersByTimeAsync(4_000)
  line.flows = false
  expect(await lostAfterMs(lost)).toBeGreaterThan(5_500)
  expect(asked.mock.calls.length).toBeLessThanOrEqual(6)
})

test('watching ends with the call, and says when all was well', async () => {
  const { watching, world } = driven(async () => true)
  const over = new AbortController()
  const well = vi.fn()
  const watch = untilLost(watching, world, over.signal, well)
  await vi.advanceTimersByTimeAsync(1_000)
  over.abort()
  await vi.advanceTimersByTimeAsync(1_000)
  await watch
  expect(well.mock.calls.length).toBeGreaterThanOrEqual(4)
})

test('a line is heard again when it goes on, not at a single stray packet', async () => {
  const { line, watching, world } = driven(async () => true)
  line.flows = false
  let heard = false
  void untilHeard(watching, world, new AbortController().signal).then(() => {
    heard = true
  })
  await vi.advanceTimersByTimeAsync(1_000)
  line.count += 1
  await vi.advanceTimersByTimeAsync(1_000)
  expect(heard).toBe(false)
  line.flows = true
  await vi.advanceTimersByTimeAsync(1_000)
  expect(heard).toBe(true)
})
