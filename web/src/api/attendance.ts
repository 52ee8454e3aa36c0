/** What marks a request that a page makes by itself: it keeps nobody signed in. */
const BACKGROUND = { 'x-locum-background': '1' }

let attended = true
globalThis.addEventListener?.('pointerdown', attend, { capture: true, passive: true })
globalThis.addEventListener?.('keydown', attend, { capture: true, passive: true })

/** Headers of a page's own poll: of one that nobody has touched since the poll before. */
export function pollHeaders(): Record<string, string> {
  if (!attended) return BACKGROUND
  attended = false
  return {}
}

function attend() {
  attended = true
}
