import type { MediaNode } from './race'

/** A node that failed a minute ago may be back, and is as good as any. */
const REMEMBERED_MS = 60_000

/** Remembers which nodes failed: they are tried last. */
export class LostNodes {
  #lost = new Map<string, number>()

  note(id: string, nowMs: number): void {
    // In order of time, and not one more than there are nodes in a grant worth remembering.
    this.#lost.delete(id)
    this.#lost.set(id, nowMs)
    for (const [old, atMs] of this.#lost) if (nowMs - atMs >= REMEMBERED_MS) this.#lost.delete(old)
  }

  /** It works after all. */
  forgive(id: string): void {
    this.#lost.delete(id)
  }

  /** All of the nodes in their order, those that failed behind the others, the one that failed last at the very end. */
  last(nodes: readonly MediaNode[], nowMs: number): MediaNode[] {
    const since = ({ id }: MediaNode) => {
      const atMs = this.#lost.get(id)
      return atMs === undefined || nowMs - atMs >= REMEMBERED_MS ? Number.NEGATIVE_INFINITY : atMs
    }
    // Sorting is stable; the difference of two infinities is no number.
    return [...nodes].sort((a, b) => (since(a) === since(b) ? 0 : since(a) - since(b)))
  }
}
