import { type Bytes, canonical, utf8 } from './bytes'

/** Where a message belongs. Whoever moves it elsewhere makes it unreadable. */
export interface Place {
  room: string
  sender: string
  topic: string
}

const VERSION = 1
/** Version, generation of the sender's key, number of the message. */
const HEAD_BYTES = 1 + 4 + 8
const IV_BYTES = 12

export interface Opened {
  sequence: number
  content: Bytes
}

/** Seals what goes through the node's data channels, which the SDK itself would send as it is. */
export async function seal(
  key: CryptoKey,
  place: Place,
  generation: number,
  sequence: number,
  content: Bytes,
): Promise<Bytes> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const params = { name: 'AES-GCM', iv, additionalData: aad(place, generation, sequence) }
  const sealed = new Uint8Array(await crypto.subtle.encrypt(params, await dataKey(key, place), content))
  const packet = new Uint8Array(HEAD_BYTES + IV_BYTES + sealed.length)
  const head = new DataView(packet.buffer)
  head.setUint8(0, VERSION)
  head.setUint32(1, generation)
  head.setBigUint64(5, BigInt(sequence))
  packet.set(iv, HEAD_BYTES)
  packet.set(sealed, HEAD_BYTES + IV_BYTES)
  return packet
}

/** The generation of the key that opens it; `null` for what was never sealed. */
export function generationOf(packet: Bytes): number | null {
  if (packet.length < HEAD_BYTES + IV_BYTES || packet[0] !== VERSION) return null
  return new DataView(packet.buffer, packet.byteOffset).getUint32(1)
}

/** Throws when the sender did not seal it for this place. */
export async function open(key: CryptoKey, place: Place, packet: Bytes): Promise<Opened> {
  const head = new DataView(packet.buffer, packet.byteOffset)
  const [generation, sequence] = [head.getUint32(1), Number(head.getBigUint64(5))]
  const iv = packet.slice(HEAD_BYTES, HEAD_BYTES + IV_BYTES)
  const params = { name: 'AES-GCM', iv, additionalData: aad(place, generation, sequence) }
  const sealed = packet.slice(HEAD_BYTES + IV_BYTES)
  const content = new Uint8Array(await crypto.subtle.decrypt(params, await dataKey(key, place), sealed))
  return { sequence, content }
}

/** Another key than the SDK's worker derives for media from the same sender key. */
function dataKey(key: CryptoKey, { room, sender }: Place): Promise<CryptoKey> {
  const info = canonical('locum data key 1', room, sender)
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: utf8(room), info }
  return crypto.subtle.deriveKey(hkdf, key, { name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt'])
}

function aad({ room, sender, topic }: Place, generation: number, sequence: number): Bytes {
  return canonical('locum data 1', room, sender, topic, generation, sequence)
}

/** Numbers of messages: growing, also over a reload, and each accepted once. */
export class Sequences {
  constructor(
    private readonly nowMs: () => number,
    private sent = 0,
    private readonly seen = new Map<string, number>(),
  ) {}

  next(): number {
    this.sent = Math.max(this.sent + 1, this.nowMs() * 1000)
    return this.sent
  }

  /** `false` for what came before, or came before what has come since. */
  accept(sender: string, sequence: number): boolean {
    if (sequence <= (this.seen.get(sender) ?? 0)) return false
    this.seen.set(sender, sequence)
    return true
  }

  /** To be kept, and given to the constructor after a reload. */
  get state(): { sent: number; seen: Map<string, number> } {
    return { sent: this.sent, seen: this.seen }
  }
}
