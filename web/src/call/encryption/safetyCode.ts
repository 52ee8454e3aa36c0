import { utf8 } from './bytes'
import type { PublicKeys } from './deviceKeys'

const GROUPS = 12
const BYTES_A_GROUP = 5

/**
 * Sixty digits that are the same for everybody in a call exactly when all see the same keys. Each group is 40 bits of
 * SHA-512 modulo 100,000: 199 bits in all, so nobody finds two sets of keys with the same code.
 */
export async function safetyCode(room: string, people: ReadonlyMap<string, PublicKeys>): Promise<string> {
  const keys = [...people].map(([id, { device, exchange }]) => JSON.stringify([id, device, exchange])).sort()
  const text = utf8(JSON.stringify(['locum safety code 1', room, ...keys]))
  const hash = new DataView(await crypto.subtle.digest('SHA-512', text))
  const group = (index: number) => {
    const at = index * BYTES_A_GROUP
    const value = hash.getUint32(at) * 256 + hash.getUint8(at + 4)
    return String(value % 100_000).padStart(5, '0')
  }
  return Array.from({ length: GROUPS }, (_, index) => group(index)).join(' ')
}
