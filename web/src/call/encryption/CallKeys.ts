import type { Bytes } from './bytes'
import { generationOf, open, type Sequences, seal } from './dataSeal'
import {
  commitment,
  type DeviceKeys,
  isVouched,
  type PublicKeys,
  publicKeys,
  thumbprintOf,
  vouch,
} from './deviceKeys'
import { type Anchors, type Member, type Membership, readMembership } from './membership'
import { safetyCode } from './safetyCode'
import { material, senderKey, unwrap, wrap } from './senderKey'

/** Attributes of a participant: what others need to know is there for whoever comes later. */
export const MEMBERS = 'locum.members'
export const CARD = 'locum.card'
export const KEYS = 'locum.keys'

/**
 * How it stands with somebody: `unknown` to the clinic's list, without a good key yet (`waiting`), showing one that is
 * not theirs (`refused`), `keyed`, or with a browser that cannot encrypt (`open`).
 */
export type Standing = 'unknown' | 'waiting' | 'refused' | 'keyed' | 'open'

export interface Outside {
  anchors: Anchors
  /** The clinics' time. */
  nowMs: () => number
  /** Media of a person is from now on en- or decrypted with this too. */
  use: (id: string, generation: number, key: CryptoKey) => void
  /** A key that is not to be believed any more. */
  retire: (id: string, generation: number) => void
  /** Something to publish or to show. */
  changed: () => void
  /** Somebody is in the room whom the list does not know. */
  ask: () => void
}

interface Peer {
  /** The card that was checked last, and its keys if it was good. */
  card: string
  keys: PublicKeys | null
  refused: boolean
  /** The newest last. */
  received: { generation: number; key: CryptoKey }[]
}

interface Own {
  generation: number
  bytes: Bytes
  key: CryptoKey
}

const KEPT_KEYS = 2

/**
 * The keys of one call, wherever it is connected: whom to believe, what to publish, what to decrypt with. Everything that
 * comes from a media node is checked against the clinic's list.
 */
export class CallKeys {
  private room = ''
  private me = ''
  private membership: Membership | null = null
  private own: Own[] = []
  /** What is sent with; the newest may wait until others have it. */
  private sending: Own | null = null
  private readonly peers = new Map<string, Peer>()
  private readonly wrapped = new Map<string, string>()
  private card = ''
  private queue: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly keys: DeviceKeys,
    private readonly sequences: Sequences,
    private readonly outside: Outside,
  ) {}

  /** The clinic let this browser in. `false` when what it says of the members is not signed by it. */
  enter(room: string, participant: string, text: string): Promise<boolean> {
    return this.inTurn(async () => {
      if (this.room !== room || this.me !== participant) {
        this.room = room
        this.me = participant
        this.membership = null
        this.card = JSON.stringify({
          ...(await publicKeys(this.keys)),
          signature: await vouch(this.keys, room, participant),
        })
      }
      return this.adopt(text, true)
    })
  }

  /** The clinic says who takes part now. */
  learn(text: string): Promise<boolean> {
    return this.inTurn(() => this.adopt(text, true))
  }

  /** What a participant shows, as a media node passes it on. */
  hear(id: string, attributes: Readonly<Record<string, string>>): Promise<void> {
    return this.inTurn(async () => {
      const members = attributes[MEMBERS]
      if (members && members !== this.membership?.text) await this.adopt(members, false)
      const member = this.member(id)
      if (!member) this.outside.ask()
      if (!member?.device || id === this.me) return this.outside.changed()
      const peer = this.peer(id)
      const card = attributes[CARD]
      if (card && card !== peer.card) await this.checkCard(peer, member, card)
      const keys = attributes[KEYS]
      if (keys && peer.keys && !peer.refused) await this.takeKey(id, peer, peer.keys, keys)
      await this.wrapForAll()
      this.outside.changed()
    })
  }

  /** What to publish now. Keys are shown only once somebody else has committed to theirs. */
  get attributes(): Record<string, string> {
    const own = this.own.at(-1)
    if (!this.membership || !own) return {}
    const others = this.others()
    const keys: Record<string, string> = {}
    for (const { id } of others) {
      const text = this.wrapped.get(id)
      if (text) keys[id] = text
    }
    return {
      [MEMBERS]: this.membership.text,
      ...(others.length > 0 && {
        [CARD]: this.card,
        [KEYS]: JSON.stringify({ generation: own.generation, keys }),
      }),
    }
  }

  /** Others had the time to take the newest key: from now on it is sent with. */
  send(): void {
    const newest = this.own.at(-1)
    if (!newest || newest === this.sending) return
    this.sending = newest
    this.outside.use(this.me, newest.generation, newest.key)
  }

  /** Whether others are to get a key that is not sent with yet. */
  get isRotating(): boolean {
    return this.own.at(-1) !== this.sending
  }

  get participant(): string {
    return this.me
  }

  /** Of the clinic's list; 0 before there is one. */
  get generation(): number {
    return this.membership?.generation ?? 0
  }

  /** Whether somebody takes part whose browser cannot encrypt, as the clinic says. */
  get isWithOpen(): boolean {
    return this.membership?.members.some(({ device }) => !device) ?? false
  }

  standing(id: string): Standing {
    const member = this.member(id)
    if (!member) return 'unknown'
    if (!member.device) return 'open'
    const peer = this.peers.get(id)
    if (peer?.refused) return 'refused'
    return peer?.keys && peer.received.length > 0 ? 'keyed' : 'waiting'
  }

  /** The safety code of everybody who takes part; `null` until all have shown their keys, or while alone. */
  async code(): Promise<string | null> {
    const people = new Map([[this.me, await publicKeys(this.keys)]])
    for (const { id } of this.others()) {
      const peer = this.peers.get(id)
      if (!peer?.keys || peer.refused) return null
      people.set(id, peer.keys)
    }
    return people.size > 1 ? safetyCode(this.room, people) : null
  }

  /** A message that everybody who takes part can read, and nobody else. */
  async seal(topic: string, content: Bytes): Promise<Bytes> {
    const own = this.sending
    if (!own) throw new TypeError('no key yet')
    const place = { room: this.room, sender: this.me, topic }
    return seal(own.key, place, own.generation, this.sequences.next(), content)
  }

  /** The content of a message; `null` for one that was not sealed by its sender for this call, or came before. */
  async open(sender: string, topic: string, packet: Bytes): Promise<Bytes | null> {
    const generation = generationOf(packet)
    const received = this.peers.get(sender)?.received.find((key) => key.generation === generation)
    if (!received) return null
    try {
      const place = { room: this.room, sender, topic }
      const { sequence, content } = await open(received.key, place, packet)
      return this.sequences.accept(sender, sequence) ? content : null
    } catch {
      return null
    }
  }

  private async adopt(text: string, fromClinic: boolean): Promise<boolean> {
    const read = await readMembership(text, this.room, this.outside.anchors)
    if (!read) return false
    // A node may hold back what is new, or show again what is old; neither for long, and never backwards.
    if (!fromClinic && read.expiresAt * 1000 < this.outside.nowMs()) return false
    if (this.membership && read.generation <= this.membership.generation) return true
    this.membership = read
    if (!this.member(this.me)?.device) return true
    const bytes = await senderKey(this.keys, this.me, read)
    const own = { generation: read.generation, bytes, key: await material(bytes) }
    this.own = [...this.own, own].slice(-KEPT_KEYS)
    this.wrapped.clear()
    // Nobody waits for the first key: there is nothing yet that they could miss.
    if (!this.sending) this.send()
    for (const [id, peer] of this.peers) await this.judgeAgain(id, peer)
    await this.wrapForAll()
    this.outside.changed()
    return true
  }

  /** Somebody who left, or came back with another device, is not whom we knew. */
  private async judgeAgain(id: string, peer: Peer): Promise<void> {
    const member = this.member(id)
    if (member && peer.keys && (await isOf(peer.keys, member))) return
    for (const { generation } of peer.received) this.outside.retire(id, generation)
    this.peers.delete(id)
  }

  private async checkCard(peer: Peer, member: Member, card: string): Promise<void> {
    peer.card = card
    try {
      const { device, exchange, signature } = JSON.parse(card) as PublicKeys & { signature: string }
      const keys = { device, exchange }
      const good = (await isOf(keys, member)) && (await isVouched(keys, signature, this.room, member.id))
      peer.refused = !good
      if (good) peer.keys = keys
    } catch {
      peer.refused = true
    }
  }

  private async takeKey(id: string, peer: Peer, theirs: PublicKeys, text: string): Promise<void> {
    try {
      const { generation, keys } = JSON.parse(text) as { generation: number; keys: Record<string, string> }
      const known = peer.received.at(-1)
      const wrapped = keys[this.me]
      if (!wrapped || (known && generation <= known.generation)) return
      const route = { room: this.room, sender: id, recipient: this.me, generation }
      const key = await material(await unwrap(wrapped, this.keys.exchange, theirs.exchange, route))
      if (known) this.outside.retire(id, known.generation)
      peer.received = [...peer.received, { generation, key }].slice(-KEPT_KEYS)
      this.outside.use(id, generation, key)
    } catch {
      peer.refused = true
      // Whatever it was: the next one may be good.
      peer.card = ''
    }
  }

  private async wrapForAll(): Promise<void> {
    const own = this.own.at(-1)
    if (!own) return
    for (const { id } of this.others()) {
      const theirs = this.peers.get(id)?.keys
      if (!theirs || this.wrapped.has(id)) continue
      const route = { room: this.room, sender: this.me, recipient: id, generation: own.generation }
      this.wrapped.set(id, await wrap(own.bytes, this.keys.exchange, theirs.exchange, route))
    }
  }

  private peer(id: string): Peer {
    const known = this.peers.get(id)
    if (known) return known
    const peer = { card: '', keys: null, refused: false, received: [] }
    this.peers.set(id, peer)
    return peer
  }

  private member(id: string): Member | undefined {
    return this.membership?.members.find((member) => member.id === id)
  }

  private others(): Member[] {
    return this.membership?.members.filter(({ id, device }) => id !== this.me && device) ?? []
  }

  /** One thing after the other: each builds on what the one before found. */
  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.queue.then(work)
    this.queue = done.catch(() => undefined)
    return done
  }
}

async function isOf(keys: PublicKeys, member: Member): Promise<boolean> {
  return (
    (await thumbprintOf(keys.device)) === member.device &&
    (await commitment(keys.exchange)) === member.commitment
  )
}
