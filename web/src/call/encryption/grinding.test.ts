import { createECDH, createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { CARD } from './CallKeys'
import { type DeviceKeys, type PublicKeys, publicKeys } from './deviceKeys'
import { safetyCode } from './safetyCode'
import { Clinic, exchange, Person, ROOM } from './testing'

// Somebody in the middle of a call of two, with the clinic's help: ana has the member "ben", and ben the member "ana", but
// both are theirs. They see everybody's keys, and may try so many of their own until the digits agree.

/** Tried keys, as a power of two; 24 in the soak. */
const BITS = Number(process.env.LOCUM_GRINDING_BITS ?? 12)
const EACH_SIDE = 2 ** (BITS - 1)
/** So many digits agree some thirty times at least among all pairs of the two sides. */
const DIGITS = Math.floor(2 * (BITS - 1) * Math.log10(2) - 1.5)
const BATCH = 256
const PATIENCE_MS = 10_000 + EACH_SIDE / 2

const first = (code: string) => Number(code.replaceAll(' ', '').slice(0, DIGITS))

const ecdh = createECDH('prime256v1')

/** An exchange key that was tried, until the next one is; the same one for the same number. */
function tried(side: string, index: number) {
  ecdh.setPrivateKey(createHash('sha256').update(`${side} ${index}`).digest())
  return ecdh
}

async function keyPair(side: string, index: number): Promise<CryptoKeyPair> {
  const point = tried(side, index).getPublicKey()
  const [x, y] = [point.subarray(1, 33).toString('base64url'), point.subarray(33).toString('base64url')]
  const jwk: JsonWebKey = { kty: 'EC', crv: 'P-256', x, y }
  const curve = { name: 'ECDH', namedCurve: 'P-256' }
  const d = ecdh.getPrivateKey().toString('base64url')
  return {
    privateKey: await crypto.subtle.importKey('jwk', { ...jwk, d }, curve, false, ['deriveBits']),
    publicKey: await crypto.subtle.importKey('jwk', jwk, curve, true, []),
  }
}

/** One of the two calls of the one in the middle: a person, and who they take for the other. */
async function halfOfACall(who: string, other: string) {
  const clinic = await Clinic.open()
  const [person, middle] = [await Person.make(who, clinic), await Person.make(other, clinic)]
  for (const each of [person, middle]) await clinic.admit(each)
  const list = await clinic.list()
  for (const each of [person, middle]) await each.keys.enter(ROOM, each.id, list)
  await exchange(person, middle)
  const { device, exchange: shown } = JSON.parse(person.keys.attributes[CARD] ?? '') as PublicKeys
  const own = await publicKeys(middle.device)
  const code = (key: string) =>
    safetyCode(
      ROOM,
      new Map([
        [who, { device, exchange: shown }],
        [other, { device: own.device, exchange: key }],
      ]),
    )
  /** Whether a key tried later is taken in place of the one that the list was signed with. */
  const takes = async (key: CryptoKeyPair) => {
    const keys: DeviceKeys = { ...middle.device, exchange: key }
    const forged = await Person.make(other, clinic, keys)
    await forged.keys.enter(ROOM, other, list)
    await forged.keys.hear(who, person.keys.attributes)
    await person.keys.hear(other, forged.keys.attributes)
    return { standing: person.keys.standing(other), code: await person.keys.code() }
  }
  return { code, takes, committed: clinic.members[1]?.commitment }
}

type Half = Awaited<ReturnType<typeof halfOfACall>>

/** The digits that each key would give, and how many keys are one that was committed to. */
async function grind(side: string, { code, committed }: Half) {
  const digits = new Float64Array(EACH_SIDE)
  let fitting = 0
  for (let begin = 0; begin < EACH_SIDE; begin += BATCH) {
    const points = Array.from({ length: BATCH }, (_, index) => tried(side, begin + index).getPublicKey())
    const codes = await Promise.all(points.map((point) => code(point.toString('base64url'))))
    digits.set(codes.map(first), begin)
    const fits = (point: Buffer) => createHash('sha256').update(point).digest('base64url') === committed
    fitting += points.filter(fits).length
  }
  return { digits, fitting }
}

/** Pairs of keys, one of each side, whose digits begin the same. */
function pairs(left: Float64Array, right: Float64Array): [number, number][] {
  const ascending = right.toSorted()
  const found: [number, number][] = []
  left.forEach((digits, index) => {
    let [low, high] = [0, ascending.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((ascending[middle] ?? 0) < digits) low = middle + 1
      else high = middle
    }
    if (ascending[low] === digits) found.push([index, right.indexOf(digits)])
  })
  return found
}

const shown = (side: string, index: number) => tried(side, index).getPublicKey().toString('base64url')

describe(`somebody in the middle who tries 2^${BITS} keys`, () => {
  test('makes the first digits agree, but not sixty, and nobody takes a key chosen so late', {
    timeout: PATIENCE_MS,
  }, async () => {
    const [withAna, withBen] = [await halfOfACall('ana', 'ben'), await halfOfACall('ben', 'ana')]
    const [left, right] = [await grind('as ben', withAna), await grind('as ana', withBen)]
    expect(left.fitting + right.fitting, 'a key that was committed to was found').toBe(0)

    const found = pairs(left.digits, right.digits)
    expect(found.length, 'the attack works where nobody commits').toBeGreaterThan(0)
    for (const [asBen, asAna] of found) {
      const codes = [await withAna.code(shown('as ben', asBen)), await withBen.code(shown('as ana', asAna))]
      expect(first(codes[0] ?? '')).toBe(first(codes[1] ?? ''))
      expect(codes[0]).not.toBe(codes[1])
    }

    const [asBen, asAna] = found[0] ?? [0, 0]
    const refused = { standing: 'refused', code: null }
    expect(await withAna.takes(await keyPair('as ben', asBen))).toEqual(refused)
    expect(await withBen.takes(await keyPair('as ana', asAna))).toEqual(refused)
  })
})
