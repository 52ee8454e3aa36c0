import { isE2EESupported } from 'livekit-client'

/** Whether this browser can encrypt calls: its frames, and with the signatures the clinics use. */
export async function canEncrypt(): Promise<boolean> {
  if (!isE2EESupported() || !globalThis.crypto?.subtle || !globalThis.indexedDB) return false
  try {
    await crypto.subtle.importKey('raw', new Uint8Array(32), 'Ed25519', false, ['verify'])
    return true
  } catch {
    return false
  }
}
