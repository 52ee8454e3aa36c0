import { type Bytes, base64url, canonical, fromBase64url, sha256, utf8 } from './bytes'
import type { DeviceKeys } from './deviceKeys'
import type { Membership } from './membership'

/** Who wraps which key for whom. */
export interface Route {
  room: string
  sender: string
  recipient: string
  generation: number
}

const IV_BYTES = 12

/** This person's sender key for a membership: the same list, the same key, also after the page was loaded anew. */
export async function senderKey({ root }: DeviceKeys, me: string, membership: Membership): Promise<Bytes> {
  const { room, generation, members } = membership
  const list = await sha256(
    utf8(JSON.stringify(members.map(({ id, device, commitment }) => [id, device, commitment]))),
  )
  const info = canonical('locum sender key 1', room, me, generation, list)
  const bits = await crypto.subtle.deriveBits(
    { name: 'HKDF', hash: 'SHA-256', salt: utf8(room), info },
    root,
    256,
  )
  return new Uint8Array(bits)
}

/** What media and data keys are derived from. */
export function material(key: Bytes): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', key, 'HKDF', false, ['deriveBits', 'deriveKey'])
}

/** The sender key, for the holder of one exchange key only. */
export async function wrap(key: Bytes, mine: CryptoKeyPair, theirs: string, route: Route): Promise<string> {
  const iv = crypto.getRandomValues(new Uint8Array(IV_BYTES))
  const shared = await sharedKey(mine, theirs, route, 'encrypt')
  const sealed = await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData: aad(route) }, shared, key)
  return base64url(Uint8Array.from([...iv, ...new Uint8Array(sealed)]))
}

/** Throws when it was not wrapped by the holder of `theirs`, for me, on this route. */
export async function unwrap(
  wrapped: string,
  mine: CryptoKeyPair,
  theirs: string,
  route: Route,
): Promise<Bytes> {
  const bytes = fromBase64url(wrapped)
  const [iv, sealed] = [bytes.slice(0, IV_BYTES), bytes.slice(IV_BYTES)]
  const shared = await sharedKey(mine, theirs, route, 'decrypt')
  const key = await crypto.subtle.decrypt({ name: 'AES-GCM', iv, additionalData: aad(route) }, shared, sealed)
  if (key.byteLength !== 32) throw new TypeError('a sender key has 32 bytes')
  return new Uint8Array(key)
}

async function sharedKey(
  mine: CryptoKeyPair,
  theirs: string,
  route: Route,
  usage: 'encrypt' | 'decrypt',
): Promise<CryptoKey> {
  const curve = { name: 'ECDH', namedCurve: 'P-256' }
  const other = await crypto.subtle.importKey('raw', fromBase64url(theirs), curve, false, [])
  const secret = await crypto.subtle.deriveBits({ name: 'ECDH', public: other }, mine.privateKey, 256)
  const base = await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveKey'])
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: utf8(route.room), info: aad(route) }
  return crypto.subtle.deriveKey(hkdf, base, { name: 'AES-GCM', length: 256 }, false, [usage])
}

function aad({ room, sender, recipient, generation }: Route): Bytes {
  return canonical('locum wrapped key 1', room, sender, recipient, generation)
}
