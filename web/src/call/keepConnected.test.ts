import { expect, test } from 'vitest'
import { keepConnected, type Line, type Phase, pauseMs } from './keepConnected'
import type { MediaNode } from './race'

class Refused extends Error {}

interface Script {
  /** Fails when the clinic does; `count` is that of this question. */
  join?: (count: number) => void
  /** Others are in the call; `unsaid` by the release before. */
  running?: boolean | 'unsaid'
  race?: (nodes: MediaNode[]) => MediaNode[]
  connect?: (url: string, call: number) => void
  losses?: number
}

/** A line whose nodes fail as scripted; it stops by itself after the last `lost`. */
function line(script: Script) {
  const stop = new AbortController()
  const said: Phase[] = []
  const urls: string[] = []
  const asked: (string[] | undefined)[] = []
  let losses = script.losses ?? 0
  const parts: Line = {
    join: async (nearest) => {
      asked.push(nearest)
      script.join?.(asked.length)
      const ids = nearest ?? ['a', 'b']
      const token = `token-${asked.length}`
      if (script.running === 'unsaid') return { token, nodes: ids.map((id) => ({ id, url: `ws://${id}` })) }
      const nodes = ids.map((id) => ({ id, url: `ws://${id}`, urls: [`ws://${id}`, `ws://${id}-2`] }))
      return { token, nodes, running: script.running ?? false }
    },
    race: async (nodes) => (script.race ?? ((same: MediaNode[]) => same))(nodes),
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
  return { run: () => keepConnected(parts, stop.signal), said, urls, asked }
}

function fail(): never {
  throw new Error('no route')
}

test('the second node is tried with the same token when the first does not answer', async () => {
  const call = line({ connect: (url) => url.startsWith('ws://a') && fail() })
  await call.run()
  expect(call.urls).toEqual(['ws://a token-1', 'ws://a-2 token-1', 'ws://b token-1'])
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
  expect(call.urls).toHaveLength(48)
})

test('who is alone in a call takes the nearest node, and says so before going there', async () => {
  const call = line({ race: (nodes) => nodes.toReversed() })
  await call.run()
  expect(call.asked).toEqual([undefined, ['b', 'a']])
  expect(call.urls).toEqual(['ws://b token-2'])
})

test('when the clinic’s order is the nearest there is nothing to say', async () => {
  const call = line({})
  await call.run()
  expect(call.asked).toEqual([undefined])
})

test('who comes later goes where the others are', async () => {
  const call = line({ running: true, race: (nodes) => nodes.toReversed() })
  await call.run()
  expect(call.asked).toEqual([undefined])
  expect(call.urls).toEqual(['ws://a token-1'])
})

test('a call comes back with the grant it has while the clinic gives no other', async () => {
  const call = line({
    losses: 1,
    join: (count) => count > 1 && fail(),
    connect: (_, nth) => nth === 2 && fail(),
  })
  await call.run()
  expect(call.urls).toEqual(['ws://a token-1', 'ws://a token-1', 'ws://a-2 token-1'])
  expect(call.said).toEqual(['joining', 'connected', 'reconnecting', 'connected'])
})

test.each([Error, Refused])(
  'when the choice cannot be told, everybody goes where the clinic said first',
  async (Why) => {
    const join = (count: number) => {
      if (count === 2) throw new Why()
    }
    const call = line({ race: (nodes) => nodes.toReversed(), join })
    await call.run()
    expect(call.urls).toEqual(['ws://a token-1'])
  },
)

test('the nearer line of a node is tried first', async () => {
  const turned = (nodes: MediaNode[]) => nodes.map(({ id, urls }) => ({ id, urls: urls.toReversed() }))
  const asTold = line({ race: turned })
  await asTold.run()
  expect(asTold.urls).toEqual(['ws://a-2 token-1'])
  const chosen = line({ race: (nodes) => turned(nodes).toReversed() })
  await chosen.run()
  expect(chosen.urls).toEqual(['ws://b-2 token-2'])
})

test('a grant of the release before is good as it is', async () => {
  const call = line({ running: 'unsaid', race: fail, connect: (url) => url === 'ws://a' && fail() })
  await call.run()
  expect(call.asked).toEqual([undefined])
  expect(call.urls).toEqual(['ws://a token-1', 'ws://b token-1'])
})

test('pauses grow and are bounded', () => {
  expect([1, 2, 3].map(pauseMs)).toEqual([500, 1000, 2000])
  expect(pauseMs(30)).toBe(8000)
})
