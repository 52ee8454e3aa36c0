export type Kind = 'audio' | 'video'

/** Whose media of which kinds there is, by identity. */
export type Seen = ReadonlyMap<string, ReadonlySet<Kind>>

/**
 * Why a stay is to be given up. `lost`: nothing arrives any more. `stale`: nothing arrives, but its node answers when it is
 * asked anew, so it is this person's line that is another. `moving`: its node goes away, and whoever is elsewhere by then
 * loses nothing. `dismissed`: the node sent this person away, so the clinic has to be asked first.
 */
export type End = { why: 'lost' | 'stale' | 'dismissed' } | { why: 'moving'; byMs: number }

/** One stay of this person at one node. */
export interface Stay {
  /** Id of the node. */
  readonly node: string
  /** Resolves when it is to be given up, or when `signal` aborts. */
  ends: (signal: AbortSignal) => Promise<End>
  /** Resolves when it turns out not to be over after all; perhaps never. */
  revives: (end: End, signal: AbortSignal) => Promise<void>
  /** What the others sent here when it was last well. */
  showed: () => Seen
  /** What of the others arrives here now. */
  shows: () => Promise<Seen>
  /** Whether nobody else is here. */
  isAlone: () => boolean
  /** Another token for the time after the one it was entered with. */
  renew: (token: string) => void
  /** Ends it and lets go of everything. May be called again. */
  leave: () => void
}
