import assert from 'node:assert/strict'

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {{ decodedMs: number, shownMs: number }} Still */

/** Measures how long the others' picture stands still: at the decoder, and on the page. */
export class Standstill {
  /** @param {Page[]} pages */
  constructor(pages) {
    this.pages = pages
  }

  /** @param {Page[]} pages */
  static async of(...pages) {
    await Promise.all(pages.map((page) => page.evaluate(watch)))
    return new Standstill(pages)
  }

  /**
   * Prints and answers the longest standstills so far, which must be no longer than that.
   *
   * @param {string} what
   * @param {number} longestMs
   */
  async tell(what, longestMs) {
    const stills = await Promise.all(this.pages.map((page) => page.evaluate(longest)))
    const text = stills.map(({ decodedMs, shownMs }) => `${decodedMs} ms decoded, ${shownMs} ms shown`)
    console.log(`${what}: the picture stood still for ${text.join(' and ')}`)
    for (const { decodedMs, shownMs } of stills) assert.ok(Math.max(decodedMs, shownMs) < longestMs)
    return stills
  }
}

/** Runs in the page; once more begins anew. */
function watch() {
  const page = /** @type {{ peerConnections: RTCPeerConnection[], still?: Still & { over: boolean } }} */ (
    /** @type {unknown} */ (window)
  )
  if (page.still) page.still.over = true
  const still = { decodedMs: 0, shownMs: 0, over: false }
  page.still = still
  const begun = performance.now()
  const last = { decoded: begun, shown: begun }
  /** @type {Map<string, number>} */
  const frames = new Map()

  const look = async () => {
    for (const [index, connection] of page.peerConnections.entries()) {
      if (connection.connectionState === 'closed') continue
      for (const entry of (await connection.getStats()).values()) {
        if (entry.type !== 'inbound-rtp' || entry.kind !== 'video') continue
        const key = `${index} ${entry.id}`
        if (entry.framesDecoded > (frames.get(key) ?? 0)) last.decoded = performance.now()
        frames.set(key, entry.framesDecoded)
      }
    }
    still.decodedMs = Math.max(still.decodedMs, Math.round(performance.now() - last.decoded))
    if (!still.over) setTimeout(look, 20)
  }

  /** @type {WeakSet<Element>} */
  const watched = new WeakSet()
  const shown = () => {
    const video = document.querySelector('.remote-video')
    if (video instanceof HTMLVideoElement && !watched.has(video)) {
      watched.add(video)
      const presented = () => {
        last.shown = performance.now()
        if (!still.over) video.requestVideoFrameCallback(presented)
      }
      video.requestVideoFrameCallback(presented)
    }
    still.shownMs = Math.max(still.shownMs, Math.round(performance.now() - last.shown))
    if (!still.over) setTimeout(shown, 20)
  }
  look()
  shown()
}

/** Runs in the page. */
function longest() {
  return /** @type {{ still: Still }} */ (/** @type {unknown} */ (window)).still
}
