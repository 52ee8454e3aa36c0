import { expect, test } from 'vitest'
import { deviceName, deviceText } from './passkeys'

const CHROME_ON_WINDOWS =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36'
const SAFARI_ON_IPHONE =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1'

test('a session is told by browser and system', () => {
  expect(deviceText(CHROME_ON_WINDOWS)).toBe('Chrome, Windows')
  expect(deviceText(SAFARI_ON_IPHONE)).toBe('Safari, iPhone')
  expect(deviceText('curl/8')).toBe('')
  expect(deviceText(undefined)).toBe('')
})

test('a passkey is named after the device it is made on', () => {
  expect(deviceName(SAFARI_ON_IPHONE)).toBe('iPhone')
  expect(deviceName('')).toBe('')
})
