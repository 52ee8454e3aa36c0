import { fromBase64url, utf8 } from './bytes'

/** Somebody who takes part in the encryption of a call; without keys: somebody whose browser cannot. */
export interface Member {
  id: string
  /** RFC 7638 thumbprint of the device's key. */
  device?: string
  /** SHA-256 of the exchange key. */
  commitment?: string
}

/** Who takes part, as the clinic signed it. */
export interface Membership {
  room: string
  generation: number
  issuedAt: number
  expiresAt: number
  members: Member[]
  /** As it was signed, to show to others. */
  text: string
}

/** The clinics' public keys by id. */
export type Anchors = (kid: string) => Promise<CryptoKey | null>

/** The list, when a key of the network signed it as a list of this room; its times are the caller's to judge. */
export async function readMembership(
  text: string,
  room: string,
  anchors: Anchors,
): Promise<Membership | null> {
  try {
    const [header = '', payload = '', signature = '', ...rest] = text.split('.')
    const { alg, typ, kid, crit } = json(header)
    if (rest.length > 0 || alg !== 'EdDSA' || typ !== 'locum-membership+jwt' || crit !== undefined)
      return null
    const key = await anchors(String(kid))
    const signed = utf8(`${header}.${payload}`)
    if (!key || !(await crypto.subtle.verify('Ed25519', key, fromBase64url(signature), signed))) return null
    const claims = json(payload)
    if (claims.aud !== 'locum-call' || claims.room !== room) return null
    return {
      room,
      generation: Number(claims.generation),
      issuedAt: Number(claims.iat),
      expiresAt: Number(claims.exp),
      members: claims.members as Member[],
      text,
    }
  } catch {
    return null
  }
}

function json(part: string): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(fromBase64url(part)))
}

const ASK_AGAIN_MS = 5_000

/** The keys of `/.well-known/jwks.json`, asked for again when one is missing. */
export function networkAnchors(): Anchors {
  let known = new Map<string, CryptoKey>()
  let askedAtMs = Number.NEGATIVE_INFINITY
  return async (kid) => {
    if (!known.has(kid) && performance.now() - askedAtMs > ASK_AGAIN_MS) {
      askedAtMs = performance.now()
      const response = await fetch('/.well-known/jwks.json', { headers: { accept: 'application/json' } })
      known = await importKeys(((await response.json()) as { keys: JsonWebKey[] }).keys)
    }
    return known.get(kid) ?? null
  }
}

async function importKeys(keys: (JsonWebKey & { kid?: string })[]): Promise<Map<string, CryptoKey>> {
  const imported = new Map<string, CryptoKey>()
  for (const { kid, kty, crv, x } of keys) {
    if (!kid || kty !== 'OKP' || crv !== 'Ed25519' || !x) continue
    imported.set(kid, await crypto.subtle.importKey('raw', fromBase64url(x), 'Ed25519', false, ['verify']))
  }
  return imported
}
