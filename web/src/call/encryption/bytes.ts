import { base64url } from 'locum-call'

export { base64url }

export type Bytes = Uint8Array<ArrayBuffer>

/** Throws for what is not base64url. */
export function fromBase64url(text: string): Bytes {
  if (!/^[\w-]*$/.test(text)) throw new TypeError('not base64url')
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
}

export function utf8(text: string): Bytes {
  return new TextEncoder().encode(text)
}

/** One text for one list of values, whatever is in them: for what is hashed, signed or authenticated. */
export function canonical(purpose: string, ...values: (string | number)[]): Bytes {
  return utf8(JSON.stringify([purpose, ...values]))
}

export async function sha256(bytes: Bytes): Promise<string> {
  return base64url(await crypto.subtle.digest('SHA-256', bytes))
}
