/** Permission to enter one call, and the nodes to try, best first. */
export interface Grant {
  token: string
  nodes: { url: string }[]
}

export type Phase = 'joining' | 'connected' | 'reconnecting' | 'failed'

export interface Line {
  /** Asks the clinic for a grant. */
  join: () => Promise<Grant>
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
 * Enters a call and returns to it whenever the connection is lost, with a fresh grant each time, until `signal` says to
 * stop or the clinic refuses. Rejects with the refusal.
 */
export async function keepConnected(line: Line, signal: AbortSignal): Promise<void> {
  let failures = 0
  line.say('joining')
  while (!signal.aborted) {
    const entered = await enter(line, signal)
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

/** One attempt at every node; `false` when none of them could be entered. */
async function enter(line: Line, signal: AbortSignal): Promise<boolean> {
  try {
    const { token, nodes } = await line.join()
    for (const { url } of nodes) {
      if (signal.aborted) return false
      if (await succeeds(line.connect(url, token))) return true
    }
  } catch (error) {
    if (!signal.aborted && line.isFinal(error)) throw error
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
