import { BaseKeyProvider } from 'livekit-client'
import { material } from './senderKey'

/** Keys of one person that the SDK's worker has at once; a frame names its key by its place. */
const RING = 16

/**
 * The keys of a call as the SDK's worker takes them: one for each person and generation of the membership. Nothing is
 * ratcheted and no key is given up by itself: the clinic's list alone changes keys.
 */
export class SenderKeys extends BaseKeyProvider {
  private ownPlace = 0

  constructor(private readonly me: () => string) {
    super({ sharedKey: false, ratchetWindowSize: 0, failureTolerance: -1, keyringSize: RING })
  }

  use(id: string, generation: number, key: CryptoKey): void {
    const place = generation % RING
    if (id === this.me()) this.ownPlace = place
    this.onSetEncryptionKey(key, id, place)
  }

  /** Puts something in its place that nobody has. */
  async retire(id: string, generation: number): Promise<void> {
    const random = await material(crypto.getRandomValues(new Uint8Array(32)))
    this.onSetEncryptionKey(random, id, generation % RING)
  }

  /** The SDK remembers the place of whichever key came last, also another person's, and would send with it. */
  override getLatestManuallySetKeyIndex(): number {
    return this.ownPlace
  }
}
