/** How often a line is looked at, and in doubt. */
export const LOOK_EVERY_MS = 250
const LOOK_IN_DOUBT_MS = 50
/** Looks by which a line is known as busy: three seconds of them. */
const REMEMBERED_LOOKS = 12
/** Of a line on which something arrives all the time, so much silence is a reason to ask… */
const STRANGE_SILENCE_MS = 500
/** …and so much is too much when the SDK has noticed too. */
const BUSY_SILENCE_MS = 1_500
/** Something has to arrive, the node answers, and nothing does: checks would have found another way by now… */
const STALE_SILENCE_MS = 2_000
/** …and sooner when the device has just said that it is on another network. */
const CHANGED_SILENCE_MS = 800
const CHANGED_LATELY_MS = 5_000
/** Once the SDK itself is looking for its connection. */
const DOUBTED_SILENCE_MS = 300
/** A quiet line has connectivity checks every 2.5 s (RFC 7675 §5.1 allows up to 6 s between them). */
const LONGEST_SILENCE_MS = 6_000
/** Timers of a hidden page are up to a second late; beyond that it slept, and nobody looked meanwhile. */
const ASLEEP_MS = 3_000
/** A node that has not answered a plain question by then does not. */
const ANSWER_WITHIN_MS = 1_000
const ASK_AGAIN_MS = 1_000

/** What is seen of a line at one moment. */
export interface Look {
  nowMs: number
  /** Grows with everything that arrives; `null` while there is nothing to count by. */
  arrived: number | null
  /** The SDK is looking for its signalling or its media. */
  reconnecting: boolean
  /** Somebody who is here sends, so that silence is none of theirs. */
  expected: boolean
  /** When the device last said that its network changed. */
  changedMs: number
}

/** `stale`: the node is there, also for this person, but not on this line. */
export type Verdict = 'well' | 'doubtful' | 'stale' | 'lost'

/**
 * Tells when a line is lost: long before the SDK gives up, and not merely because the others are silent. In doubt the
 * node is asked whether it is there at all.
 */
export class Watchdog {
  #arrived: number | null = null
  #heardMs = 0
  #lookedMs: number | null = null
  #looks: boolean[] = []
  #busy = false
  #answers: boolean | null = null

  look({ nowMs, arrived, reconnecting, expected, changedMs }: Look): Verdict {
    this.#note(nowMs, arrived, reconnecting)
    const silentMs = nowMs - this.#heardMs
    const patienceMs = this.#busy ? STRANGE_SILENCE_MS : LONGEST_SILENCE_MS
    if (silentMs < (reconnecting ? DOUBTED_SILENCE_MS : patienceMs)) {
      this.#answers = null
      return 'well'
    }
    if (this.#answers === false || silentMs >= LONGEST_SILENCE_MS) return 'lost'
    const staleMs = nowMs - changedMs < CHANGED_LATELY_MS ? CHANGED_SILENCE_MS : STALE_SILENCE_MS
    if (this.#answers && this.#busy && expected && silentMs >= staleMs) return 'stale'
    // The node is there, but not for us. A quiet line proves nothing so soon: a mere change of the signalling socket
    // takes the SDK two seconds.
    return reconnecting && this.#busy && silentMs >= BUSY_SILENCE_MS ? 'lost' : 'doubtful'
  }

  /** Whether the node answered when it was asked in doubt. */
  answered(answers: boolean): void {
    this.#answers = answers
  }

  #note(nowMs: number, arrived: number | null, reconnecting: boolean): void {
    const sinceLastMs = nowMs - (this.#lookedMs ?? nowMs)
    if (this.#lookedMs === null) this.#heardMs = nowMs
    if (sinceLastMs > ASLEEP_MS) this.#heardMs += sinceLastMs
    this.#lookedMs = nowMs
    const news = arrived !== null && arrived !== this.#arrived
    this.#looks = [...this.#looks, news].slice(-REMEMBERED_LOOKS)
    if (news) {
      this.#arrived = arrived
      this.#busy = this.#looks.filter(Boolean).length * 3 >= REMEMBERED_LOOKS * 2
    }
    if (news || (arrived === null && !reconnecting)) this.#heardMs = nowMs
  }
}

/** A line as the watchdog sees it. */
export interface Watched {
  arrived: () => Promise<number | null>
  reconnecting: () => boolean
  expected: () => boolean
  changedMs: () => number
}

/** Time, and a way to ask the node. */
export interface World {
  nowMs: () => number
  pause: (ms: number) => Promise<void>
  answers: (signal: AbortSignal) => Promise<boolean>
}

/** Resolves when the line is lost or stale, or `signal` aborts; `well` is called after each look that found it well. */
export async function untilLost(
  line: Watched,
  world: World,
  signal: AbortSignal,
  well: () => void = () => {},
): Promise<'lost' | 'stale'> {
  const watchdog = new Watchdog()
  let asking = false
  while (!signal.aborted) {
    const verdict = watchdog.look(await looked(line, world))
    if (verdict === 'lost' || verdict === 'stale') return verdict
    if (verdict === 'well') well()
    if (verdict === 'doubtful' && !asking) {
      asking = true
      void answersInTime(world, signal).then(async (answers) => {
        watchdog.answered(answers)
        await world.pause(ASK_AGAIN_MS)
        asking = false
      })
    }
    await world.pause(verdict === 'well' ? LOOK_EVERY_MS : LOOK_IN_DOUBT_MS)
  }
  return 'lost'
}

/** Resolves when something arrives again and goes on arriving; never when `signal` aborts first. */
export async function untilHeard(line: Watched, world: World, signal: AbortSignal): Promise<void> {
  let before = await line.arrived()
  for (let news = 0; news < 2; ) {
    await world.pause(LOOK_EVERY_MS)
    if (signal.aborted) return new Promise(() => {})
    const now = await line.arrived()
    news = now !== null && now !== before && !line.reconnecting() ? news + 1 : 0
    before = now
  }
}

async function looked(line: Watched, world: World): Promise<Look> {
  const arrived = await line.arrived()
  const [reconnecting, expected, changedMs] = [line.reconnecting(), line.expected(), line.changedMs()]
  return { nowMs: world.nowMs(), arrived, reconnecting, expected, changedMs }
}

async function answersInTime(world: World, signal: AbortSignal): Promise<boolean> {
  const over = new AbortController()
  const stop = () => over.abort()
  signal.addEventListener('abort', stop, { once: true })
  try {
    const late = world.pause(ANSWER_WITHIN_MS).then(() => false)
    return await Promise.race([world.answers(over.signal), late])
  } finally {
    over.abort()
    signal.removeEventListener('abort', stop)
  }
}
