import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Plan } from './grant'
import { renew } from './renewal'

const MINUTE_MS = 60_000

beforeEach(() => void vi.useFakeTimers({ now: Date.parse('2026-03-02T08:00:00Z') }))
afterEach(() => void vi.useRealTimers())

/** A clinic that answers as long as `answers` says so; the n-th grant ends 30 minutes after it was given. */
function world(answers: () => boolean = () => true, aheadMs = 0) {
  const over = new AbortController()
  const tokens: string[] = []
  let asked = 0
  const clinicMs = () => Date.now() + aheadMs
  const join = async () => {
    asked += 1
    if (!answers()) throw new TypeError('no route')
    const expiresAt = new Date(clinicMs() + 30 * MINUTE_MS).toISOString()
    return { token: `token-${asked}`, nodes: [], expiresAt }
  }
  const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
  const begin = (endsAtMs?: number) => {
    const held: Plan = { token: 'first', nodes: [], ...(endsAtMs !== undefined && { endsAtMs }) }
    void renew(held, { join, clinicMs, pause }, over.signal, ({ token }) => tokens.push(token))
  }
  return {
    begin,
    over,
    tokens,
    asked: () => asked,
    minutes: (n: number) => vi.advanceTimersByTimeAsync(n * MINUTE_MS),
  }
}

test('a visit that overruns never has an old grant, and nobody asks too often', async () => {
  const call = world()
  call.begin(Date.now() + 60 * MINUTE_MS)
  await call.minutes(54)
  expect(call.tokens).toEqual([])
  await call.minutes(1)
  expect(call.tokens).toEqual(['token-1'])
  await call.minutes(26)
  expect(call.tokens).toEqual(['token-1', 'token-2'])
})

test('a clinic that does not answer is asked again', async () => {
  let answers = false
  const call = world(() => answers)
  call.begin(Date.now() + 6 * MINUTE_MS)
  await call.minutes(3)
  expect([call.tokens.length, call.asked()]).toEqual([0, 5])
  answers = true
  await call.minutes(1)
  expect(call.tokens).toEqual(['token-6'])
})

test('the clinic’s clock counts, not this device’s', async () => {
  const call = world(() => true, 10 * MINUTE_MS)
  call.begin(Date.now() + 12 * MINUTE_MS)
  await call.minutes(0)
  expect(call.tokens).toEqual(['token-1'])
})

test('it ends with the stay, and a grant that says nothing of its end is left alone', async () => {
  const call = world()
  call.begin()
  call.begin(Date.now() + 6 * MINUTE_MS)
  call.over.abort()
  await call.minutes(60)
  expect(call.asked()).toBe(0)
})
