import { IdempotencyKeys } from './idempotency'

/** The longest a function may take is 10 s: later than that the answer is not coming. */
const ATTEMPT_TIMEOUT_MS = 12_000
const ROUNDS = 2
const PAUSE_MS = 400
const LONGEST_PAUSE_MS = 4_000

export interface Surroundings {
  fetch: (request: Request) => Promise<Response>
  pause: (ms: number) => Promise<void>
  keys: IdempotencyKeys
}

/**
 * A `fetch` for requests written against `apis[0]`: on a network error or a 503 it asks the next API of the ordered
 * list, stays with the one that answered, and gives a writing call the same `Idempotency-Key` each time.
 */
export function failoverFetch(apis: readonly string[], around: Surroundings = browser()) {
  let preferred = 0

  return async function send(request: Request): Promise<Response> {
    const call = await callOf(request, apis[0] ?? '', around.keys)
    const order = [...apis.slice(preferred), ...apis.slice(0, preferred)]
    const outcome = await untilSettled(call, order, around)
    if (outcome.settled) {
      preferred = apis.indexOf(outcome.api)
      if (call.taken) around.keys.answered(call.taken.id)
    }
    if (outcome.response) return outcome.response
    throw outcome.failure
  }
}

export function isWriting(method: string): boolean {
  return !['GET', 'HEAD', 'OPTIONS'].includes(method.toUpperCase())
}

interface Call {
  request: Request
  path: string
  body: string | undefined
  taken: { id: string; key: string } | null
}

interface Outcome {
  api: string
  /** The server has answered, whatever it answered. */
  settled: boolean
  response?: Response
  failure?: unknown
}

async function callOf(request: Request, base: string, keys: IdempotencyKeys): Promise<Call> {
  const path = request.url.slice(base.length)
  if (!isWriting(request.method)) return { request, path, body: undefined, taken: null }
  const body = await request.clone().text()
  return { request, path, body, taken: await keys.take(request.method, path, body) }
}

async function untilSettled(call: Call, order: string[], around: Surroundings): Promise<Outcome> {
  let outcome: Outcome = { api: '', settled: false, failure: new TypeError('no API to ask') }
  for (let turn = 0; turn < order.length * ROUNDS; turn++) {
    if (turn > 0) await around.pause(pauseAfter(outcome, turn % order.length === 0))
    outcome = await ask(around.fetch, call, order[turn % order.length] ?? '')
    if (outcome.settled || call.request.signal.aborted) break
  }
  return outcome
}

async function ask(fetch: Surroundings['fetch'], call: Call, api: string): Promise<Outcome> {
  try {
    const response = await fetch(addressed(call, api))
    return { api, settled: response.status !== 503, response }
  } catch (failure) {
    return { api, settled: false, failure }
  }
}

function addressed({ request, path, body, taken }: Call, api: string): Request {
  const headers = new Headers(request.headers)
  if (taken) headers.set('idempotency-key', taken.key)
  return new Request(api + path, {
    method: request.method,
    headers,
    credentials: 'include',
    signal: AbortSignal.any([request.signal, AbortSignal.timeout(ATTEMPT_TIMEOUT_MS)]),
    ...(body ? { body } : {}),
  })
}

/** A host that is not there is left at once; one that is busy, or all of them after a round, get time. */
function pauseAfter({ response }: Outcome, roundOver: boolean): number {
  if (!response) return roundOver ? PAUSE_MS : 0
  const seconds = Number(response.headers.get('retry-after') ?? '')
  return seconds > 0 ? Math.min(seconds * 1000, LONGEST_PAUSE_MS) : PAUSE_MS
}

function browser(): Surroundings {
  return {
    fetch: (request) => fetch(request),
    pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    keys: new IdempotencyKeys(),
  }
}
