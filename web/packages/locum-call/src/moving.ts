const LONGEST_MS = 60_000

/** What a room's metadata says of a node that goes away: how long there is to move, or `null`. */
export function movingWithinMs(metadata: string | undefined): number | null {
  if (!metadata) return null
  try {
    const within: unknown = JSON.parse(metadata)?.moving?.withinMs
    return typeof within === 'number' && within >= 0 ? Math.min(within, LONGEST_MS) : null
  } catch {
    return null
  }
}
