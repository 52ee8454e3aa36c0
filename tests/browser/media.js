import { until } from './until.js'

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {{ framesDecoded: number, audioEnergy: number, picture: string }} Received */

/** A minute of silence has no energy; a beep of the simulated microphone has far more than this. */
const ENERGY_ABOVE_SILENCE = 1e-5
const MEDIA_DEADLINE_MS = 30_000

/**
 * Waits until this page receives pictures that move and sound that is heard.
 *
 * @param {Page} page
 * @param {string} who
 */
export async function seesAndHears(page, who) {
  await page.locator('.remote-video').waitFor()
  const first = await until(`${who} decodes a frame`, () => whenDecoding(page), MEDIA_DEADLINE_MS)
  const pictures = new Set([first.picture])
  return until(
    `${who} sees moving pictures and hears more than silence (first: ${JSON.stringify(first)})`,
    async () => {
      const now = await received(page)
      pictures.add(now.picture)
      const frames = now.framesDecoded >= first.framesDecoded + 15
      const sound = now.audioEnergy - first.audioEnergy > ENERGY_ABOVE_SILENCE
      return frames && sound && pictures.size >= 3 ? now : null
    },
    MEDIA_DEADLINE_MS,
  )
}

/** @param {Page} page */
async function whenDecoding(page) {
  const now = await received(page)
  return now.framesDecoded > 0 ? now : null
}

/**
 * What arrives, as the browser counts it, and what is shown, as a canvas sees it.
 *
 * @param {Page} page
 * @returns {Promise<Received>}
 */
async function received(page) {
  return page.evaluate(async () => {
    let framesDecoded = 0
    let audioEnergy = 0
    const { peerConnections } = /** @type {{ peerConnections: RTCPeerConnection[] }} */ (
      /** @type {unknown} */ (window)
    )
    for (const connection of peerConnections) {
      for (const entry of (await connection.getStats()).values()) {
        if (entry.type !== 'inbound-rtp') continue
        if (entry.kind === 'video') framesDecoded += entry.framesDecoded ?? 0
        if (entry.kind === 'audio') audioEnergy += entry.totalAudioEnergy ?? 0
      }
    }
    const canvas = document.createElement('canvas')
    canvas.width = 64
    canvas.height = 36
    const brush = canvas.getContext('2d')
    const video = document.querySelector('.remote-video')
    if (brush && video instanceof HTMLVideoElement) brush.drawImage(video, 0, 0, 64, 36)
    const pixels = brush?.getImageData(0, 0, 64, 36).data ?? new Uint8ClampedArray()
    const digest = await crypto.subtle.digest('SHA-256', pixels)
    const picture = Array.from(new Uint8Array(digest).slice(0, 8)).join('.')
    return { framesDecoded, audioEnergy, picture }
  })
}
