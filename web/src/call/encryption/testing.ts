import { base64url, utf8 } from './bytes'
import { CallKeys, type Outside } from './CallKeys'
import { Sequences } from './dataSeal'
import { commitment, type DeviceKeys, makeDeviceKeys, publicKeys, thumbprintOf } from './deviceKeys'
import type { Anchors, Member } from './membership'

export const ROOM = 'roomroomroomroomroomro'
export const NOW_S = 1_800_000_000

/** A clinic that signs lists of members with a real key. */
export class Clinic {
  generation = 0
  members: Member[] = []

  private constructor(private readonly pair: CryptoKeyPair) {}

  static async open(): Promise<Clinic> {
    return new Clinic(
      (await crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify'])) as CryptoKeyPair,
    )
  }

  readonly anchors: Anchors = async (kid) => (kid === 'clinic' ? this.pair.publicKey : null)

  async admit(person: Person): Promise<void> {
    const member = { id: person.id, ...(await person.wish()) }
    this.members = [...this.members.filter(({ id }) => id !== person.id), member]
    this.generation += 1
  }

  dismiss(id: string): void {
    this.members = this.members.filter((member) => member.id !== id)
    this.generation += 1
  }

  list(other: Record<string, unknown> = {}, header: Record<string, unknown> = {}): Promise<string> {
    const { generation, members } = this
    const claims = {
      aud: 'locum-call',
      iat: NOW_S,
      exp: NOW_S + 600,
      room: ROOM,
      generation,
      members,
      ...other,
    }
    return this.sign({ alg: 'EdDSA', typ: 'locum-membership+jwt', kid: 'clinic', ...header }, claims)
  }

  private async sign(header: unknown, claims: unknown): Promise<string> {
    const part = (value: unknown) => base64url(utf8(JSON.stringify(value)))
    const text = `${part(header)}.${part(claims)}`
    return `${text}.${base64url(await crypto.subtle.sign('Ed25519', this.pair.privateKey, utf8(text)))}`
  }
}

/** Somebody in the call, with what their browser would do. */
export class Person {
  readonly used: { id: string; generation: number }[] = []
  readonly retired: { id: string; generation: number }[] = []
  asked = 0
  readonly keys: CallKeys

  private constructor(
    readonly id: string,
    readonly device: DeviceKeys,
    clinic: Clinic,
  ) {
    const outside: Outside = {
      anchors: clinic.anchors,
      nowMs: () => NOW_S * 1000,
      use: (who, generation) => this.used.push({ id: who, generation }),
      retire: (who, generation) => this.retired.push({ id: who, generation }),
      changed: () => {},
      ask: () => {
        this.asked += 1
      },
    }
    this.keys = new CallKeys(device, new Sequences(() => NOW_S * 1000), outside)
  }

  static async make(id: string, clinic: Clinic, device?: DeviceKeys): Promise<Person> {
    return new Person(id, device ?? (await makeDeviceKeys()), clinic)
  }

  async wish(): Promise<{ device: string; commitment: string }> {
    const { device, exchange } = await publicKeys(this.device)
    return { device: await thumbprintOf(device), commitment: await commitment(exchange) }
  }

  async enter(clinic: Clinic): Promise<void> {
    await clinic.admit(this)
    await this.keys.enter(ROOM, this.id, await clinic.list())
  }
}

/** A media node that passes on what everybody shows, until nobody has anything new to say. */
export async function exchange(...people: Person[]): Promise<void> {
  for (let before = ''; ; ) {
    const all = people.map(({ id, keys }) => ({ id, attributes: keys.attributes }))
    const now = JSON.stringify(all)
    if (now === before) break
    before = now
    for (const person of people) {
      for (const { id, attributes } of all) if (id !== person.id) await person.keys.hear(id, attributes)
    }
  }
  for (const { keys } of people) keys.send()
}
