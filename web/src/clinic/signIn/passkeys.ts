/** Passkeys over the browser's own JSON forms (WebAuthn Level 3), which the API speaks too. */

export type Outcome = { credential: unknown } | { failure: 'cancelled' | 'known' | 'unable' }

export function passkeysThere(): boolean {
  return (
    typeof PublicKeyCredential === 'function' &&
    'parseCreationOptionsFromJSON' in PublicKeyCredential &&
    'parseRequestOptionsFromJSON' in PublicKeyCredential
  )
}

export async function newPasskey(options: unknown): Promise<Outcome> {
  const json = (options as { publicKey: PublicKeyCredentialCreationOptionsJSON }).publicKey
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(json)
  return outcome(navigator.credentials.create({ publicKey }))
}

export async function askPasskey(options: unknown): Promise<Outcome> {
  const json = (options as { publicKey: PublicKeyCredentialRequestOptionsJSON }).publicKey
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(json)
  return outcome(navigator.credentials.get({ publicKey }))
}

async function outcome(asked: Promise<Credential | null>): Promise<Outcome> {
  try {
    const credential = await asked
    if (!(credential instanceof PublicKeyCredential)) return { failure: 'cancelled' }
    return { credential: credential.toJSON() }
  } catch (error) {
    const name = error instanceof DOMException ? error.name : ''
    if (name === 'InvalidStateError') return { failure: 'known' }
    return { failure: name === 'NotAllowedError' || name === 'AbortError' ? 'cancelled' : 'unable' }
  }
}

/** What somebody may call the passkey of this device; they can tell it apart by it later. */
export function deviceName(userAgent: string): string {
  const systems: [RegExp, string][] = [
    [/iPhone/, 'iPhone'],
    [/iPad/, 'iPad'],
    [/Android/, 'Android'],
    [/Mac OS X/, 'Mac'],
    [/Windows/, 'Windows'],
    [/CrOS/, 'Chromebook'],
    [/Linux/, 'Linux'],
  ]
  return systems.find(([pattern]) => pattern.test(userAgent))?.[1] ?? ''
}

/** Browser and system of a session, as far as its owner recognises them. */
export function deviceText(userAgent: string | undefined): string {
  if (!userAgent) return ''
  const browsers: [RegExp, string][] = [
    [/Edg\//, 'Edge'],
    [/Firefox\//, 'Firefox'],
    [/Chrome\//, 'Chrome'],
    [/Safari\//, 'Safari'],
  ]
  const browser = browsers.find(([pattern]) => pattern.test(userAgent))?.[1]
  return [browser, deviceName(userAgent)].filter(Boolean).join(', ')
}
