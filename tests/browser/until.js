const LOOK_EVERY_MS = 100

/**
 * The first value of `look` that is not falsy; fails with `what` when there was none before the deadline.
 *
 * @template T
 * @param {string} what
 * @param {() => Promise<T> | T} look
 * @param {number} [deadlineMs]
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, look, deadlineMs = 15_000) {
  const end = Date.now() + deadlineMs
  for (;;) {
    const value = await look()
    if (value) return value
    if (Date.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}
