import { expect, test } from 'vitest'
import { failoverFetch } from './failover'
import { IdempotencyKeys } from './idempotency'

const NEAR = 'http://near.example'
const FAR = 'http://far.example'

/** An API network whose hosts answer what the script says next. */
function network(script: (request: Request, call: number) => Response) {
  const calls: { host: string; key: string | null; body: string }[] = []
  const pauses: number[] = []
  const send = failoverFetch([NEAR, FAR], {
    fetch: async (request) => {
      const { host } = new URL(request.url)
      calls.push({ host, key: request.headers.get('idempotency-key'), body: await request.clone().text() })
      return script(request, calls.length)
    },
    pause: async (ms) => {
      pauses.push(ms)
    },
    keys: new IdempotencyKeys(),
  })
  return { send, calls, pauses }
}

const hold = () => new Request(`${NEAR}/c/demo/scheduling/holds`, { method: 'POST', body: '{"start":"x"}' })

function unreachable(): Response {
  throw new TypeError('Failed to fetch')
}

test('a host that cannot be reached is left for the next, with the same key and body', async () => {
  const { send, calls } = network((_, call) => (call === 1 ? unreachable() : new Response('{}')))
  expect((await send(hold())).status).toBe(200)
  expect(calls.map((call) => call.host)).toEqual(['near.example', 'far.example'])
  expect(calls[0]?.key).toMatch(/^[0-9a-f-]{36}$/)
  expect(calls[1]).toMatchObject({ key: calls[0]?.key, body: '{"start":"x"}' })
})

test('it stays with the host that answered', async () => {
  const { send, calls } = network((_, call) => (call === 1 ? unreachable() : new Response('{}')))
  await send(hold())
  await send(new Request(`${NEAR}/c/demo/scheduling/clinic`))
  expect(calls[2]?.host).toBe('far.example')
})

test('503 is tried again after what the server asks for, but never longer than four seconds', async () => {
  const { send, pauses } = network((_, call) => {
    if (call === 1) return new Response('', { status: 503, headers: { 'retry-after': '1' } })
    if (call === 2) return new Response('', { status: 503, headers: { 'retry-after': '3600' } })
    return new Response('{}')
  })
  expect((await send(hold())).status).toBe(200)
  expect(pauses).toEqual([1000, 4000])
})

test('it gives up after two rounds and hands on what happened', async () => {
  const down = network(unreachable)
  await expect(down.send(hold())).rejects.toThrow('Failed to fetch')
  expect(down.calls).toHaveLength(4)
  const busy = network(() => new Response('', { status: 503 }))
  expect((await busy.send(hold())).status).toBe(503)
})

test('the same call made again keeps its key until it has been answered', async () => {
  const { send, calls } = network((_, call) => (call <= 4 ? unreachable() : new Response('{}')))
  await expect(send(hold())).rejects.toThrow()
  await send(hold())
  await send(hold())
  expect(calls[4]?.key).toBe(calls[0]?.key)
  expect(calls[5]?.key).not.toBe(calls[0]?.key)
})

test('other errors are answers: they are not tried again', async () => {
  const { send, calls } = network(() => new Response('', { status: 409 }))
  expect((await send(hold())).status).toBe(409)
  expect(calls).toHaveLength(1)
})

test('reading carries no key', async () => {
  const { send, calls } = network(() => new Response('{}'))
  await send(new Request(`${NEAR}/c/demo/scheduling/clinic`))
  expect(calls[0]?.key).toBeNull()
})
