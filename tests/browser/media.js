import { until } from './until.js'

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {{ framesDecoded: number, audioEnergy: number, picture: string, wall: number[], width: number }} Received */

/** How far a camera's colour may be off after the encoder, in each of red, green and blue. */
const COLOUR_TOLERANCE = 40
/** Of the simulated microphone, about half a second; more than the rest of a beep that was under way when it was muted. */
const ENERGY_ABOVE_SILENCE = 0.2
const MEDIA_DEADLINE_MS = 30_000

/**
 * Waits until this page receives pictures of that person that move, and sound that is heard.
 *
 * @param {Page} page
 * @param {string} who
 * @param {import('./camera.js').Look} other
 */
export async function seesAndHears(page, who, other) {
  await page.locator('.remote-video').waitFor()
  const first = await until(`${who} decodes a frame`, () => whenDecoding(page), MEDIA_DEADLINE_MS)
  const pictures = new Set()
  let last = first
  try {
    return await until(
      `${who} sees the other side move and hears more than silence`,
      async () => {
        last = await received(page)
        if (showsWall(last, other)) pictures.add(last.picture)
        const frames = last.framesDecoded >= first.framesDecoded + 15
        const sound = last.audioEnergy - first.audioEnergy > ENERGY_ABOVE_SILENCE
        return frames && sound && pictures.size >= 3 ? last : null
      },
      MEDIA_DEADLINE_MS,
    )
  } catch (error) {
    throw new Error(`first ${JSON.stringify(first)}, last ${JSON.stringify(last)}`, { cause: error })
  }
}

/**
 * Waits until this page shows each of these people, moving.
 *
 * @param {Page} page
 * @param {import('./camera.js').Look[]} looks
 */
export async function seesAll(page, looks) {
  const seen = looks.map(() => new Set())
  await until(
    `${looks.length} people move`,
    async () => {
      for (const shown of await pictures(page)) {
        looks.forEach((look, index) => {
          if (showsWall(shown, look)) seen[index]?.add(shown.picture)
        })
      }
      return seen.every((pictures) => pictures.size >= 3) || null
    },
    MEDIA_DEADLINE_MS,
  )
}

/**
 * Waits until the picture is as sharp as the camera's.
 *
 * @param {Page} page
 */
export function isSharp(page) {
  return until('the picture is sharp', async () => (await received(page)).width >= 900, 60_000)
}

/**
 * @param {Pick<Received, 'wall'>} picture
 * @param {import('./camera.js').Look} look
 */
function showsWall({ wall }, look) {
  return look.wall.every((part, index) => Math.abs(part - (wall[index] ?? -1e3)) < COLOUR_TOLERANCE)
}

/** @param {Page} page */
async function whenDecoding(page) {
  const now = await received(page)
  return now.framesDecoded > 0 ? now : null
}

/**
 * Every picture that is shown, as a canvas sees it.
 *
 * @param {Page} page
 * @returns {Promise<{ wall: number[], picture: string }[]>}
 */
async function pictures(page) {
  return page.evaluate(() => {
    const canvas = document.createElement('canvas')
    canvas.width = 64
    canvas.height = 36
    const brush = canvas.getContext('2d', { willReadFrequently: true })
    return [...document.querySelectorAll('.remote-video')].map((video) => {
      if (brush && video instanceof HTMLVideoElement) brush.drawImage(video, 0, 0, 64, 36)
      const wall = Array.from(brush?.getImageData(4, 4, 1, 1).data.slice(0, 3) ?? [])
      const picture = Array.from(brush?.getImageData(0, 0, 64, 36).data ?? []).join('.')
      return { wall, picture }
    })
  })
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
      if (connection.connectionState === 'closed') continue
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
    const wall = Array.from(brush?.getImageData(4, 4, 1, 1).data.slice(0, 3) ?? [])
    const width = video instanceof HTMLVideoElement ? video.videoWidth : 0
    return { framesDecoded, audioEnergy, picture, wall, width }
  })
}
