/** Connectivity checks answer every 2.5 s on a quiet line (RFC 7675 §5.1 allows up to 6 s between them). */
const STILL_AFTER_MS = 6_000

/** Tells from a counter of everything that arrives whether anything still does. */
export class Pulse {
  #count = -1
  #sinceMs = 0

  /** Whether nothing has arrived for too long. */
  still(count: number, nowMs: number): boolean {
    if (count !== this.#count) {
      this.#count = count
      this.#sinceMs = nowMs
    }
    return nowMs - this.#sinceMs >= STILL_AFTER_MS
  }
}

/** Bytes and answered connectivity checks of all routes, from one peer connection's statistics. */
export function arrived(report: Iterable<unknown>): number {
  let sum = 0
  for (const entry of report) {
    const { type, bytesReceived = 0, responsesReceived = 0 } = entry as RTCIceCandidatePairStats
    if (type === 'candidate-pair') sum += bytesReceived + responsesReceived
  }
  return sum
}
