import type { End, Seen, Stay } from './stay'

const LOOK_EVERY_MS = 50
/** After a loss nothing is to be missed on the old side: the new one is shown then, whoever is there. */
const SEEN_WITHIN_MS = 5_000
/** Left to the node's deadline, so that it never has to send anybody away. */
const SPARE_MS = 500

export interface Clock {
  nowMs: () => number
  pause: (ms: number) => Promise<void>
}

/**
 * Waits until the next stay is at least as good as the one before: after a loss as soon as anything of the others
 * arrives, in a move only when all that was there before does. Ends in time in any case, or when `signal` aborts.
 */
export async function carryOver(
  before: Stay,
  next: Stay,
  end: End,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const wanted = before.showed()
  const lateMs = end.why === 'moving' ? end.byMs - SPARE_MS : clock.nowMs() + SEEN_WITHIN_MS
  const isEnough = end.why === 'moving' ? hasAll : hasAny
  while (!signal.aborted && !isEnough(await next.shows(), wanted) && clock.nowMs() < lateMs) {
    await clock.pause(LOOK_EVERY_MS)
  }
}

function hasAll(seen: Seen, wanted: Seen): boolean {
  return [...wanted].every(([who, kinds]) => [...kinds].every((kind) => seen.get(who)?.has(kind)))
}

/** Who was alone waits for nobody. */
function hasAny(seen: Seen, wanted: Seen): boolean {
  return wanted.size === 0 || [...seen.values()].some((kinds) => kinds.size > 0)
}
