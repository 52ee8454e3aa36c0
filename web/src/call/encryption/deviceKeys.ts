import { makeDevice, thumbprint } from 'locum-call'
import { type Bytes, base64url, canonical, fromBase64url, sha256 } from './bytes'

/** What this browser holds for one visit. None of it can be read out, not even by these pages. */
export interface DeviceKeys {
  /** Signs: ECDSA P-256. */
  device: CryptoKeyPair
  /** Agrees on secrets with others in the call: ECDH P-256. */
  exchange: CryptoKeyPair
  /** Where this person's sender keys come from: random, one key for each membership. */
  root: CryptoKey
}

/** Their public halves, as others see them: the 65 bytes of each point, in base64url. */
export interface PublicKeys {
  device: string
  exchange: string
}

const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' }

export async function makeDeviceKeys(): Promise<DeviceKeys> {
  const secret = crypto.getRandomValues(new Uint8Array(32))
  return {
    device: await makeDevice(),
    exchange: await crypto.subtle.generateKey({ name: 'ECDH', namedCurve: 'P-256' }, false, ['deriveBits']),
    root: await crypto.subtle.importKey('raw', secret, 'HKDF', false, ['deriveBits']),
  }
}

export async function publicKeys({ device, exchange }: DeviceKeys): Promise<PublicKeys> {
  const raw = async (key: CryptoKey) => base64url(await crypto.subtle.exportKey('raw', key))
  return { device: await raw(device.publicKey), exchange: await raw(exchange.publicKey) }
}

/** RFC 7638, of a device key as others see it. Throws for what is no point of P-256. */
export async function thumbprintOf(device: string): Promise<string> {
  const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' }
  return thumbprint(await crypto.subtle.importKey('raw', fromBase64url(device), ecdsa, true, ['verify']))
}

/** What the clinic is told of the exchange key before anybody has seen it. */
export function commitment(exchange: string): Promise<string> {
  return sha256(fromBase64url(exchange))
}

/** The device vouches for the exchange key, in one room as one participant. */
export async function vouch(keys: DeviceKeys, room: string, participant: string): Promise<string> {
  const { exchange } = await publicKeys(keys)
  const text = voucher(room, participant, exchange)
  return base64url(await crypto.subtle.sign(SIGNATURE, keys.device.privateKey, text))
}

export async function isVouched(
  keys: PublicKeys,
  signature: string,
  room: string,
  participant: string,
): Promise<boolean> {
  const ecdsa = { name: 'ECDSA', namedCurve: 'P-256' }
  const key = await crypto.subtle.importKey('raw', fromBase64url(keys.device), ecdsa, false, ['verify'])
  const text = voucher(room, participant, keys.exchange)
  return crypto.subtle.verify(SIGNATURE, key, fromBase64url(signature), text)
}

function voucher(room: string, participant: string, exchange: string): Bytes {
  return canonical('locum exchange key 1', room, participant, exchange)
}
