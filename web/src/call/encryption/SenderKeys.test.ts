import { KeyProviderEvent } from 'livekit-client'
import { describe, expect, test } from 'vitest'
import { SenderKeys } from './SenderKeys'
import { material } from './senderKey'

const key = () => material(crypto.getRandomValues(new Uint8Array(32)))

describe('keys for the SDK’s worker', () => {
  test('say which is this person’s own, whichever came last', async () => {
    const keys = new SenderKeys(() => 'me')
    keys.use('me', 18, await key())
    keys.use('other', 5, await key())
    expect(keys.getLatestManuallySetKeyIndex()).toBe(2)
    expect(keys.getOptions()).toMatchObject({ sharedKey: false, ratchetWindowSize: 0, failureTolerance: -1 })
  })

  test('are replaced by what nobody has when they are not to be believed any more', async () => {
    const keys = new SenderKeys(() => 'me')
    const old = await key()
    keys.use('other', 5, old)
    const told: unknown[] = []
    keys.on(KeyProviderEvent.SetKey, (info) => told.push(info))
    await keys.retire('other', 5)
    expect(told).toHaveLength(1)
    expect(told[0]).toMatchObject({ participantIdentity: 'other', keyIndex: 5 })
    expect(keys.getKeys().some((info) => info.key === old)).toBe(false)
  })
})
