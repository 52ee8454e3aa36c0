import { writeFileSync } from 'node:fs'

const WIDTH = Number(process.env.LOCUM_CAMERA_WIDTH ?? 960)
const HEIGHT = (WIDTH * 9) / 16
const FRAMES = 24
const FRAMES_PER_SECOND = 12

/** @typedef {[number, number, number]} Colour */
/** @typedef {{ wall: Colour, clothes: Colour, skin: Colour, hair: Colour }} Look */

/** Drawn people who cannot be mistaken for one another, least of all by the colour of their wall. */
export const LOOKS = {
  /** @type {Look} */
  patient: { wall: [236, 205, 160], clothes: [60, 92, 140], skin: [232, 184, 150], hair: [84, 54, 38] },
  /** @type {Look} */
  clinic: { wall: [160, 212, 204], clothes: [244, 246, 246], skin: [150, 102, 74], hair: [32, 28, 30] },
  /** @type {Look} */
  guest: { wall: [120, 110, 190], clothes: [70, 130, 90], skin: [208, 160, 120], hair: [150, 110, 60] },
}

/**
 * Writes what a simulated camera shows: somebody who sways a little, for ever (YUV4MPEG2, 4:2:0).
 *
 * @param {string} path
 * @param {Look} look
 */
export function writeCamera(path, look) {
  const header = Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F${FRAMES_PER_SECOND}:1 Ip A1:1 C420jpeg\n`)
  const frames = Array.from({ length: FRAMES }, (_, index) => frame(look, (2 * Math.PI * index) / FRAMES))
  writeFileSync(path, Buffer.concat([header, ...frames]))
}

/**
 * @param {Look} look
 * @param {number} phase
 */
function frame(look, phase) {
  const luma = Buffer.alloc(WIDTH * HEIGHT)
  const chroma = (WIDTH / 2) * (HEIGHT / 2)
  const blue = Buffer.alloc(chroma)
  const red = Buffer.alloc(chroma)
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const [r, g, b] = pixel(look, x, y, phase)
      luma[y * WIDTH + x] = 16 + 0.257 * r + 0.504 * g + 0.098 * b
      if (y % 2 === 0 && x % 2 === 0) {
        const at = (y / 2) * (WIDTH / 2) + x / 2
        blue[at] = 128 - 0.148 * r - 0.291 * g + 0.439 * b
        red[at] = 128 + 0.439 * r - 0.368 * g - 0.071 * b
      }
    }
  }
  return Buffer.concat([Buffer.from('FRAME\n'), luma, blue, red])
}

/**
 * @param {Look} look
 * @param {number} x
 * @param {number} y
 * @param {number} phase
 * @returns {Colour}
 */
function pixel(look, x, y, phase) {
  const sway = 14 * Math.sin(phase)
  const [middle, head] = [WIDTH / 2 + sway, HEIGHT * 0.42 + 4 * Math.cos(2 * phase)]
  if (inside(x, y, middle, head, 82, 104)) {
    const fringe = y < head - 46 + 10 * Math.sin((x - middle) / 30)
    if (fringe) return look.hair
    for (const side of [-1, 1]) if (inside(x, y, middle + 32 * side, head - 6, 8, 9)) return [40, 34, 34]
    const mouth = inside(x, y, middle, head + 48, 26, 12) && y > head + 48
    return mouth ? [176, 84, 84] : look.skin
  }
  if (inside(x, y, middle, head - 26, 98, 104) && y < head + 20) return look.hair
  if (Math.abs(x - middle) < 34 && y > head && y < head + 140) return look.skin
  if (inside(x, y, middle - sway * 0.4, HEIGHT + 40, 260, 215)) return look.clothes
  const light = 1 - 0.12 * (y / HEIGHT)
  return [look.wall[0] * light, look.wall[1] * light, look.wall[2] * light]
}

/**
 * @param {number} x
 * @param {number} y
 * @param {number} middleX
 * @param {number} middleY
 * @param {number} radiusX
 * @param {number} radiusY
 */
function inside(x, y, middleX, middleY, radiusX, radiusY) {
  return ((x - middleX) / radiusX) ** 2 + ((y - middleY) / radiusY) ** 2 < 1
}
