import { expect, test } from 'vitest'
import { isInApp } from './inApp'

const IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)'
const PIXEL = 'Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/AP4A; wv) AppleWebKit/537.36 (KHTML, like Gecko)'

test('views inside other apps are known', () => {
  for (const app of [
    `${IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/512.0.0.40.109;FBDV/iPhone16,1]`,
    `${IPHONE} Mobile/15E148 Instagram 380.0.0.28.85 (iPhone16,1; iOS 18_5)`,
    `${IPHONE} Mobile/15E148 Safari Line/15.6.0`,
    `${IPHONE} Mobile/15E148`,
    `${PIXEL} Version/4.0 Chrome/137.0.7151.61 Mobile Safari/537.36`,
    `${PIXEL.replace('; wv', '')} Version/4.0 Chrome/137.0.0.0 Mobile Safari/537.36 MicroMessenger/8.0.60`,
  ]) {
    expect(isInApp(app), app).toBe(true)
  }
})

test('browsers are browsers, on telephones and elsewhere', () => {
  for (const browser of [
    `${IPHONE} Version/18.5 Mobile/15E148 Safari/604.1`,
    `${IPHONE} CriOS/137.0.7151.79 Mobile/15E148 Safari/604.1`,
    `${IPHONE} FxiOS/139.0 Mobile/15E148 Safari/605.1.15`,
    'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36',
    'Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/27.0 Chrome/125.0.0.0 Mobile Safari/537.36',
    'Mozilla/5.0 (Android 15; Mobile; rv:139.0) Gecko/139.0 Firefox/139.0',
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15',
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36 Edg/137.0.0.0',
    '',
  ]) {
    expect(isInApp(browser), browser).toBe(false)
  }
})
