import { expect, test } from 'vitest'
import { keepConnected, type Line, type Phase, pauseMs } from './keepConnected'

class Refused extends Error {}

/** A line whose nodes fail as scripted; it stops by itself after the last `lost`. */
function line(script: { join?: () => void; connect?: (url: string, call: number) => void; losses?: number }) {
  const stop = new AbortController()
  const said: Phase[] = []
  const urls: string[] = []
  let tokens = 0
  let losses = script.losses ?? 0
  const parts: Line = {
    join: async () => {
      script.join?.()
      tokens += 1
      return { token: `token-${tokens}`, nodes: [{ url: 'ws://a' }, { url: 'ws://b' }] }
    },
    connect: async (url, token) => {
      urls.push(`${url} ${token}`)
      script.connect?.(url, urls.length)
    },
    lost: async () => {
      if (losses-- <= 0) stop.abort()
    },
    isFinal: (error) => error instanceof Refused,
    say: (phase) => said.push(phase),
    pause: async () => {},
  }
  return { run: () => keepConnected(parts, stop.signal), said, urls }
}

function fail(): never {
  throw new Error('no route')
}

test('the second node is tried with the same token when the first does not answer', async () => {
  const call = line({ connect: (url) => url === 'ws://a' && fail() })
  await call.run()
  expect(call.urls).toEqual(['ws://a token-1', 'ws://b token-1'])
  expect(call.said).toEqual(['joining', 'connected'])
})

test('a lost connection is told, and resumed with a fresh token', async () => {
  const call = line({ losses: 1 })
  await call.run()
  expect(call.urls).toEqual(['ws://a token-1', 'ws://a token-2'])
  expect(call.said).toEqual(['joining', 'connected', 'reconnecting', 'connected'])
})

test('a refusal ends it at once', async () => {
  const call = line({
    join: () => {
      throw new Refused()
    },
  })
  await expect(call.run()).rejects.toBeInstanceOf(Refused)
  expect(call.urls).toEqual([])
})

test('after a minute of trying it says that it failed instead of trying for ever', async () => {
  const call = line({ connect: fail })
  await call.run()
  expect(call.said).toEqual(['joining', 'failed'])
  expect(call.urls).toHaveLength(24)
})

test('pauses grow and are bounded', () => {
  expect([1, 2, 3].map(pauseMs)).toEqual([500, 1000, 2000])
  expect(pauseMs(30)).toBe(8000)
})
