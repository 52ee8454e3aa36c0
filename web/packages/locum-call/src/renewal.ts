import { asTold, type Grant, type Plan } from './grant'

/** Long enough for a region that is away to come back. */
const AHEAD_MS = 5 * 60_000
/** Between two tries, and between two looks at the clock. */
const AGAIN_MS = 30_000

/** What a renewal needs of the world. */
export interface Renewing {
  join: () => Promise<Grant>
  /** Milliseconds since 1970 by the clinic's clock. */
  clinicMs: () => number
  pause: (ms: number) => Promise<void>
}

/**
 * Asks for the next grant before the one that is held ends, until `over`: a visit may take longer than planned, and who
 * loses a node then must not depend on an answer. A grant that does not say when it ends is left alone.
 */
export async function renew(
  held: Plan,
  world: Renewing,
  over: AbortSignal,
  renewed: (plan: Plan) => void,
): Promise<void> {
  let plan = held
  while (!over.aborted && plan.endsAtMs !== undefined) {
    if (world.clinicMs() >= plan.endsAtMs - AHEAD_MS) {
      try {
        const next = asTold(await world.join())
        if (over.aborted) return
        plan = next
        renewed(plan)
      } catch {
        // The one that is held may still be good; if the clinic says no, so will the node.
      }
    }
    await world.pause(AGAIN_MS)
  }
}
