/** Bytes as RFC 4648 §5 has them, without padding. */
export function base64url(bytes: Uint8Array<ArrayBuffer> | ArrayBuffer): string {
  const view = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : bytes
  let text = ''
  for (const byte of view) text += String.fromCharCode(byte)
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** The key that tokens are bound to: ECDSA P-256. It cannot be read out; keep it in IndexedDB. */
export function makeDevice(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
}

/** RFC 7638, of a public key of P-256: what the clinic is told when it is asked for a token. */
export async function thumbprint(key: CryptoKey): Promise<string> {
  return sha256(JSON.stringify(await publicJwk(key)))
}

/** Proves to a media node that this browser holds the key its token names (RFC 9449 §4.2). */
export async function proofFor(
  device: CryptoKeyPair,
  url: string,
  token: string,
  nowMs: number,
): Promise<string> {
  const part = (value: unknown) => base64url(new TextEncoder().encode(JSON.stringify(value)))
  const header = part({ typ: 'dpop+jwt', alg: 'ES256', jwk: await publicJwk(device.publicKey) })
  const claims = part({
    jti: base64url(crypto.getRandomValues(new Uint8Array(16))),
    htm: 'POST',
    htu: url,
    iat: Math.floor(nowMs / 1000),
    ath: await sha256(token),
  })
  const signed = new TextEncoder().encode(`${header}.${claims}`)
  const ecdsa = { name: 'ECDSA', hash: 'SHA-256' }
  return `${header}.${claims}.${base64url(await crypto.subtle.sign(ecdsa, device.privateKey, signed))}`
}

/** Where a node, known by the address of its WebSocket, wants the proof. */
export function joinUrl(url: string): string {
  return `${url.replace(/^ws/, 'http').replace(/\/$/, '')}/join`
}

/** When the clinic made a token, by its own clock: it begins ten seconds before, for nodes whose clocks are behind. */
export function mintedAtMs(token: string): number {
  const payload = token.split('.')[1] ?? ''
  const { nbf } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/'))) as { nbf: number }
  return (nbf + 10) * 1000
}

const ANSWER_WITHIN_MS = 6_000

/**
 * What to connect with in place of a token that is bound to a device, once. `nowMs` is the clinic's time: a device's own
 * clock may be wrong by hours. Throws when the node is not there, or does not believe it.
 */
export async function passFor(
  device: CryptoKeyPair,
  node: string,
  token: string,
  nowMs: number,
): Promise<string> {
  const url = joinUrl(node)
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `DPoP ${token}`, dpop: await proofFor(device, url, token, nowMs) },
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  })
  if (!response.ok) throw new TypeError(`the node answered ${response.status}`)
  return String(((await response.json()) as { pass: unknown }).pass)
}

/** The required members only, in the order of RFC 7638 §3.2. */
async function publicJwk(key: CryptoKey) {
  const { crv, kty, x, y } = await crypto.subtle.exportKey('jwk', key)
  return { crv, kty, x, y }
}

async function sha256(text: string): Promise<string> {
  return base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
}
