import type { MediaNode } from './race'

/**
 * Permission to enter one call, and the nodes to try, best first. While hosts are upgraded one of the release before may
 * give it, which says neither `urls` nor `running`, and reads no `nearest`.
 */
export interface Grant {
  token: string
  nodes: { id: string; url: string; urls?: string[] }[]
  /** Somebody else is in the call: at the first of the nodes, however far it is. */
  running?: boolean
}

/** A grant with the nodes as this browser tries them. */
interface Plan {
  token: string
  nodes: MediaNode[]
}

export type Phase = 'joining' | 'connected' | 'reconnecting' | 'failed'

export interface Line {
  /** Asks the clinic for a grant; tells which nodes are nearest, once that was measured. */
  join: (nearest?: string[]) => Promise<Grant>
  /** Measures nodes and orders them. */
  race: (nodes: MediaNode[]) => Promise<MediaNode[]>
  /** Connects to one node; fails when it cannot. */
  connect: (url: string, token: string) => Promise<void>
  /** Resolves when the connection is lost for good. */
  lost: () => Promise<void>
  /** Whether asking again cannot help: the visit is over, or the person was not admitted. */
  isFinal: (error: unknown) => boolean
  say: (phase: Phase) => void
  pause: (ms: number) => Promise<void>
}

const LONGEST_PAUSE_MS = 8_000
/** About a minute of trying: then the person decides. */
const ATTEMPTS = 12

/**
 * Enters a call and returns to it whenever the connection is lost, with a fresh grant each time, or with the one it has
 * while nobody gives a fresh one, until `signal` says to stop or the clinic refuses. Rejects with the refusal.
 */
export async function keepConnected(line: Line, signal: AbortSignal): Promise<void> {
  let failures = 0
  let held: Plan | null = null
  line.say('joining')
  while (!signal.aborted) {
    held = (await ask(line, signal)) ?? held
    const entered = held !== null && (await enter(line, held, signal))
    if (signal.aborted) return
    if (entered) {
      failures = 0
      line.say('connected')
      await line.lost()
      if (!signal.aborted) line.say('reconnecting')
      continue
    }
    failures += 1
    if (failures >= ATTEMPTS) return line.say('failed')
    await line.pause(pauseMs(failures))
  }
}

export function pauseMs(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, 250 * 2 ** failures)
}

/** A fresh grant; `null` when there is none to be had for the moment. */
async function ask(line: Line, signal: AbortSignal): Promise<Plan | null> {
  try {
    const grant = await line.join()
    return signal.aborted ? asTold(grant) : await choose(line, grant)
  } catch (error) {
    if (!signal.aborted && line.isFinal(error)) throw error
    return null
  }
}

/** Who is alone in a call takes the nearest nodes first, and has the clinic tell those who come later. */
async function choose(line: Line, grant: Grant): Promise<Plan> {
  const told = asTold(grant)
  if (grant.running !== false || told.nodes.length < 2) return told
  const nodes = await line.race(told.nodes)
  const nearest = nodes.map(({ id }) => id)
  if (nearest.every((id, place) => id === told.nodes[place]?.id)) return { ...told, nodes }
  try {
    const answer = asTold(await line.join(nearest))
    return { ...answer, nodes: answer.nodes.map((node) => nodes.find(({ id }) => id === node.id) ?? node) }
  } catch {
    // The others will look where we were told first.
    return told
  }
}

function asTold({ token, nodes }: Grant): Plan {
  return { token, nodes: nodes.map(({ id, url, urls = [url] }) => ({ id, urls })) }
}

/** One attempt at every node; `false` when none of them could be entered. */
async function enter(line: Line, { token, nodes }: Plan, signal: AbortSignal): Promise<boolean> {
  for (const url of nodes.flatMap(({ urls }) => urls)) {
    if (signal.aborted) return false
    if (await succeeds(line.connect(url, token))) return true
  }
  return false
}

async function succeeds(attempt: Promise<void>): Promise<boolean> {
  try {
    await attempt
    return true
  } catch {
    return false
  }
}
