import { thumbprint } from 'locum-call'
import { describe, expect, test } from 'vitest'
import { makeDeviceKeys, publicKeys, thumbprintOf } from './deviceKeys'
import type { Membership } from './membership'
import { senderKey, unwrap, wrap } from './senderKey'

const route = { room: 'r', sender: 'a', recipient: 'b', generation: 1 }

describe('a wrapped key', () => {
  test('opens with the recipient’s key, on its route, and not otherwise', async () => {
    const [a, b, c] = await Promise.all([makeDeviceKeys(), makeDeviceKeys(), makeDeviceKeys()])
    const [pubA, pubB] = [(await publicKeys(a)).exchange, (await publicKeys(b)).exchange]
    const key = crypto.getRandomValues(new Uint8Array(32))
    const wrapped = await wrap(key, a.exchange, pubB, route)
    expect(await unwrap(wrapped, b.exchange, pubA, route)).toEqual(key)
    await expect(unwrap(wrapped, c.exchange, pubA, route)).rejects.toThrow()
    await expect(unwrap(wrapped, b.exchange, (await publicKeys(c)).exchange, route)).rejects.toThrow()
    for (const other of [{ room: 's' }, { sender: 'c' }, { recipient: 'c' }, { generation: 2 }]) {
      await expect(unwrap(wrapped, b.exchange, pubA, { ...route, ...other })).rejects.toThrow()
    }
  })
})

describe('a sender key', () => {
  const list: Membership = {
    room: 'r',
    generation: 1,
    issuedAt: 0,
    expiresAt: 0,
    members: [{ id: 'a', device: 'd', commitment: 'c' }],
    text: '',
  }

  test('is the same for the same list, and another for everything else', async () => {
    const keys = await makeDeviceKeys()
    const made = await senderKey(keys, 'a', list)
    expect(await senderKey(keys, 'a', { ...list, issuedAt: 9, text: 'again' })).toEqual(made)
    const others = [
      await senderKey(await makeDeviceKeys(), 'a', list),
      await senderKey(keys, 'b', list),
      await senderKey(keys, 'a', { ...list, generation: 2 }),
      await senderKey(keys, 'a', { ...list, room: 's' }),
      await senderKey(keys, 'a', { ...list, members: [{ id: 'a', device: 'e', commitment: 'c' }] }),
    ]
    for (const other of others) expect(other).not.toEqual(made)
  })
})

describe('a device', () => {
  test('has keys that cannot be read out, and a thumbprint that others find too', async () => {
    const keys = await makeDeviceKeys()
    const { device } = await publicKeys(keys)
    expect(await thumbprintOf(device)).toBe(await thumbprint(keys.device.publicKey))
    await expect(crypto.subtle.exportKey('jwk', keys.exchange.privateKey)).rejects.toThrow()
    await expect(crypto.subtle.exportKey('raw', keys.root)).rejects.toThrow()
  })
})
