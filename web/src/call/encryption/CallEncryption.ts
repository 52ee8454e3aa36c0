import { Room, RoomEvent, type RoomOptions } from 'livekit-client'
import { mintedAtMs, passFor, thumbprint } from 'locum-call'
import type { Bytes } from './bytes'
import { CallKeys, type Outside } from './CallKeys'
import type { CallLine, Message, Shown } from './CallLine'
import { Sequences } from './dataSeal'
import { commitment, type DeviceKeys, publicKeys } from './deviceKeys'
import type { CallDoor, DeviceWish, EncryptedGrant } from './door'
import { type GuardedWorker, guardWorker } from './guardedWorker'
import { keepSequences, keptKeys } from './keptKeys'
import { networkAnchors } from './membership'
import { RoomLink } from './RoomLink'
import { SenderKeys } from './SenderKeys'

/** Between publishing a new key and sending with it: others fetch it meanwhile. */
const GRACE_MS = 300
/** Data channels carry no longer messages. */
const LONGEST_PACKET = 64 * 1024
/** An old key is still good for what is on its way. */
const RETIRE_AFTER_MS = 5_000

interface Connection {
  link: RoomLink
  provider: SenderKeys
  guard: GuardedWorker
}

/** The encryption of one person's call: it outlives connections, and is the same in each room object of the call. */
export class CallEncryption implements CallLine {
  private readonly callKeys: CallKeys
  private readonly connections = new Map<Room, Connection>()
  private readonly watchers = new Set<() => void>()
  private readonly listeners = new Set<(message: Message) => void>()
  private reading = Promise.resolve()
  private readonly inUse: { id: string; generation: number; key: CryptoKey }[] = []
  private shown: Shown = { privacy: 'alone', code: null }
  private clockOffsetMs = 0
  /** The person agreed to a call with somebody whose browser cannot encrypt. */
  private agreed = false

  private constructor(
    visit: string,
    private readonly keys: DeviceKeys,
    private readonly wished: DeviceWish,
    private readonly sequences: Sequences,
    private readonly door: () => CallDoor,
  ) {
    const outside: Outside = {
      anchors: networkAnchors(),
      nowMs: () => this.nowMs(),
      use: (id, generation, key) => this.use(id, generation, key),
      retire: (id, generation) => this.retire(id, generation),
      changed: () => this.changed(),
      ask: () => void this.refresh(),
    }
    this.callKeys = new CallKeys(keys, sequences, outside)
    this.keep = () => {
      const { sent, seen } = this.sequences.state
      void keepSequences(visit, sent, seen).catch(() => undefined)
    }
  }

  private readonly keep: () => void

  /** With the keys of this browser for a visit. */
  static async open(visit: string, door: () => CallDoor): Promise<CallEncryption> {
    const { keys, sent, seen } = await keptKeys(visit)
    const mine = await publicKeys(keys)
    const wished = {
      device: await thumbprint(keys.device.publicKey),
      commitment: await commitment(mine.exchange),
    }
    return new CallEncryption(visit, keys, wished, new Sequences(() => Date.now(), sent, seen), door)
  }

  /** Asks the clinic for a grant, as this device. Throws what the clinic answers. */
  async join(nearest?: string[]): Promise<EncryptedGrant> {
    const grant = await this.door().join({ ...(nearest && { nearest }), encryption: this.wished })
    const { room, participant, membership } = grant
    if (!room || !participant || !membership) throw new TypeError('the clinic named no members')
    if (!(await this.callKeys.enter(room, participant, membership))) {
      throw new TypeError('the list of members is not signed by the clinic')
    }
    this.clockOffsetMs = mintedAtMs(grant.token) - Date.now()
    return grant
  }

  /** What opens a node's WebSocket, for the holder of a token. Throws when the node does not give it. */
  pass(node: string, token: string): Promise<string> {
    return passFor(this.keys.device, node, token, this.nowMs())
  }

  /** A room whose media is encrypted, whatever its node says. It is released when it is disconnected. */
  room(options: RoomOptions): Room {
    const provider = new SenderKeys(() => this.callKeys.participant)
    const guard = guardWorker(() => this.agreed)
    const room = new Room({ ...options, e2ee: { keyProvider: provider, worker: guard.worker } })
    for (const { id, generation, key } of this.inUse) provider.use(id, generation, key)
    const link = new RoomLink(room, this.callKeys, {
      refresh: () => this.refresh(),
      changed: () => this.changed(),
      data: (sender, topic, packet) => this.receive(sender, topic, packet),
    })
    this.connections.set(room, { link, provider, guard })
    room.once(RoomEvent.Disconnected, () => this.release(room))
    void room.setE2EEEnabled(!this.agreed)
    return room
  }

  /** Lets go of a room that is over. */
  release(room: Room): void {
    const connection = this.connections.get(room)
    if (!connection) return
    this.connections.delete(room)
    connection.link.close()
    connection.guard.worker.terminate()
    this.changed()
  }

  /** Resolves once the others can have this person's key: what is published before is lost on them. */
  async ready(room: Room): Promise<void> {
    await this.connections.get(room)?.link.published()
  }

  async refresh(): Promise<void> {
    // Whoever was not let in yet is told with the grant.
    if (!this.callKeys.participant) return
    try {
      await this.callKeys.learn(await this.door().membership())
    } catch {
      // The clinic cannot be reached: the call goes on with what is known, and it is asked again.
    }
  }

  /** Takes this device out of the call: the others change their keys. */
  async leave(): Promise<void> {
    await this.door().leave()
  }

  /** Sends to everybody who takes part, over a room. Throws when the room does not take it. */
  async send(room: Room, topic: string, content: Bytes): Promise<void> {
    const packet = await this.callKeys.seal(topic, content)
    this.keep()
    await room.localParticipant.publishData(packet, { reliable: true, topic })
  }

  /** Whoever listens gets what was sealed by its sender for this call, each message once; call what it answers to stop. */
  listen(listener: (message: Message) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  agree(): void {
    if (this.callKeys.isWithOpen) this.encrypt(false)
  }

  readonly watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher)
    return () => this.watchers.delete(watcher)
  }

  readonly show = (): Shown => this.shown

  private encrypt(on: boolean): void {
    this.agreed = !on
    for (const [room, { guard }] of this.connections) {
      guard.reconsider([room.localParticipant.identity, ...room.remoteParticipants.keys()])
      void room.setE2EEEnabled(on)
    }
    this.changed()
  }

  /** In the order in which it came: what is older than what was read is not read any more. */
  private receive(sender: string, topic: string, packet: Uint8Array): void {
    if (packet.length > LONGEST_PACKET) return
    this.reading = this.reading.then(async () => {
      const content = await this.callKeys.open(sender, topic, Uint8Array.from(packet))
      if (!content) return
      this.keep()
      for (const listener of this.listeners) listener({ sender, topic, content })
    })
  }

  private use(id: string, generation: number, key: CryptoKey): void {
    const older = this.inUse.findIndex((known) => known.id === id)
    if (older >= 0) this.inUse.splice(older, 1)
    this.inUse.push({ id, generation, key })
    for (const { provider } of this.connections.values()) provider.use(id, generation, key)
  }

  private retire(id: string, generation: number): void {
    setTimeout(() => {
      const current = this.inUse.findIndex((known) => known.id === id && known.generation === generation)
      if (current >= 0) this.inUse.splice(current, 1)
      for (const { provider } of this.connections.values()) void provider.retire(id, generation)
    }, RETIRE_AFTER_MS)
  }

  private changed(): void {
    for (const { link } of this.connections.values()) link.follow()
    if (this.callKeys.isRotating) setTimeout(() => this.callKeys.send(), GRACE_MS)
    void this.update()
  }

  private async update(): Promise<void> {
    // Whoever agreed, agreed to that person: when they are gone, it is over.
    if (this.agreed && !this.callKeys.isWithOpen) return this.encrypt(true)
    const next = { privacy: this.privacy(), code: await this.callKeys.code() }
    if (next.privacy === this.shown.privacy && next.code === this.shown.code) return
    this.shown = next
    for (const watcher of this.watchers) watcher()
  }

  private privacy(): Shown['privacy'] {
    if (this.callKeys.isWithOpen) return this.agreed ? 'open' : 'asked'
    const all = [...this.connections.values()].map(({ link }) => link.privacy())
    if (all.includes('broken')) return 'broken'
    return all.includes('private') ? 'private' : (all[0] ?? 'alone')
  }

  /** The clinics' time: a device's own clock may be wrong by hours. */
  private nowMs(): number {
    return Date.now() + this.clockOffsetMs
  }
}
