/** A media node: its name, and where it is reached, best first. */
export interface MediaNode {
  id: string
  urls: string[]
}

/** The world of a race, so that tests own time and network. */
export interface Track {
  /** Asks a node whether it takes new calls; fails when it does not answer. */
  probe: (url: string, signal: AbortSignal) => Promise<boolean>
  nowMs: () => number
  pause: (ms: number) => Promise<void>
}

/** Round trips in milliseconds by URL: the better of the rounds, because the first one opens the connection. */
export type Times = ReadonlyMap<string, number>

/** More would cost every node a connection of everybody, for a few milliseconds. */
const RACERS = 4
const ROUNDS = 2
/** The longest a person waits for the race. */
const DEADLINE_MS = 800
/** Once one is through, others that are so much later are not better. */
const STRAGGLERS_MS = 150
/** The clinic's order knows of load and regions: it gives way to what is clearly better, not to noise. */
const MARGIN_MS = 15
const MARGIN_SHARE = 0.2

/** The nodes in the order in which this browser should try them; all of them, whatever the probes said. */
export async function race<N extends MediaNode>(nodes: readonly N[], track: Track): Promise<N[]> {
  const urls = nodes.slice(0, RACERS).flatMap((node) => node.urls)
  return ordered(nodes, await measured(urls, track))
}

/** The clearly nearest node, then the others that answered, those not asked, and those that said no or nothing. */
export function ordered<N extends MediaNode>(nodes: readonly N[], times: Times): N[] {
  const racers = nodes
    .slice(0, RACERS)
    .map((node) => ({ node: nearestUrlFirst(node, times), ms: best(node, times) }))
  const answered = racers.filter(({ ms }) => ms < Number.POSITIVE_INFINITY)
  const winner = answered.reduce<(typeof racers)[number] | undefined>(
    (before, next) => (!before || isClearlyBetter(next, before) ? next : before),
    undefined,
  )
  const order = [
    ...answered.filter((racer) => racer === winner),
    ...answered.filter((racer) => racer !== winner),
  ].map(({ node }) => node)
  const silent = racers.filter((racer) => !answered.includes(racer)).map(({ node }) => node)
  return [...order, ...nodes.slice(RACERS), ...silent]
}

async function measured(urls: string[], track: Track): Promise<Times> {
  const times = new Map<string, number>()
  const over = new AbortController()
  const runs = urls.map((url) => run(url, times, over.signal, track))
  const someoneIsThrough = Promise.any(runs.map(async (through) => (await through) || Promise.reject()))
  await Promise.race([
    Promise.all(runs),
    track.pause(DEADLINE_MS),
    someoneIsThrough.then(
      () => track.pause(STRAGGLERS_MS),
      () => undefined,
    ),
  ])
  over.abort()
  return times
}

/** Whether it was answered in every round. */
async function run(
  url: string,
  times: Map<string, number>,
  over: AbortSignal,
  track: Track,
): Promise<boolean> {
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const begun = track.nowMs()
      const takesCalls = await track.probe(url, over)
      if (over.aborted || !takesCalls) return false
      times.set(url, Math.min(track.nowMs() - begun, times.get(url) ?? Number.POSITIVE_INFINITY))
    }
    return true
  } catch {
    return false
  }
}

function best({ urls }: MediaNode, times: Times): number {
  return Math.min(...urls.map((url) => times.get(url) ?? Number.POSITIVE_INFINITY))
}

function nearestUrlFirst<N extends MediaNode>(node: N, times: Times): N {
  const ms = (url: string) => times.get(url) ?? Number.POSITIVE_INFINITY
  const urls = [...node.urls].sort((a, b) => (ms(a) === ms(b) ? 0 : ms(a) - ms(b)))
  return { ...node, urls }
}

function isClearlyBetter(next: { ms: number }, before: { ms: number }): boolean {
  return next.ms + Math.max(MARGIN_MS, before.ms * MARGIN_SHARE) <= before.ms
}
