import { expect, test, vi } from 'vitest'
import { pauseUntilNetworkChange } from './networkChange'

test('a pause ends by itself, or with the next change of the network', async () => {
  vi.useFakeTimers()
  const device = new EventTarget()
  let over = false
  const pause = () => {
    over = false
    void pauseUntilNetworkChange(1000, [[device, 'online']]).then(() => {
      over = true
    })
  }
  pause()
  await vi.advanceTimersByTimeAsync(999)
  expect(over).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(over).toBe(true)

  pause()
  device.dispatchEvent(new Event('online'))
  await vi.advanceTimersByTimeAsync(0)
  expect(over).toBe(true)
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})
