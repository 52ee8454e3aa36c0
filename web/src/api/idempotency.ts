/** How long a repeated press of the same button counts as a retry of a call that was never answered. */
const RETRY_WINDOW_MS = 5 * 60_000
const KEPT = 32

interface Pending {
  key: string
  sinceMs: number
}

/**
 * Idempotency keys of writing calls. A call that got no answer (network error, 503) keeps its key, so that the same
 * call made again, by us or by the person, is the same call to the server. Contents are kept only as a digest.
 */
export class IdempotencyKeys {
  readonly #pending = new Map<string, Pending>()
  readonly #now: () => number

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  async take(method: string, path: string, body: string): Promise<{ id: string; key: string }> {
    const id = await digest(`${method}\n${path}\n${body}`)
    const known = this.#pending.get(id)
    if (known && this.#now() - known.sinceMs < RETRY_WINDOW_MS) return { id, key: known.key }
    const key = crypto.randomUUID()
    this.#pending.set(id, { key, sinceMs: this.#now() })
    this.#forgetOldest()
    return { id, key }
  }

  answered(id: string): void {
    this.#pending.delete(id)
  }

  #forgetOldest(): void {
    for (const id of this.#pending.keys()) {
      if (this.#pending.size <= KEPT) return
      this.#pending.delete(id)
    }
  }
}

async function digest(text: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
