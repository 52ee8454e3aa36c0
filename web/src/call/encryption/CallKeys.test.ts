import { describe, expect, test } from 'vitest'
import { utf8 } from './bytes'
import { CARD, KEYS, MEMBERS } from './CallKeys'
import { makeDeviceKeys, publicKeys, vouch } from './deviceKeys'
import { Clinic, exchange, NOW_S, Person, ROOM } from './testing'

async function call(...ids: string[]) {
  const clinic = await Clinic.open()
  const people: Person[] = []
  for (const id of ids) {
    const person = await Person.make(id, clinic)
    await person.enter(clinic)
    people.push(person)
  }
  await exchange(...people)
  return { clinic, people: people as [Person, Person, ...Person[]] }
}

const said = (text: string) => utf8(text)

async function hears(from: Person, to: Person, text: string): Promise<string | null> {
  const packet = await from.keys.seal('chat', said(text))
  const content = await to.keys.open(from.id, 'chat', packet)
  return content && new TextDecoder().decode(content)
}

describe('people in a call', () => {
  test('get each other’s keys through a node that learns none, and see the same sixty digits', async () => {
    const { people } = await call('ana', 'ben', 'cleo')
    const codes = await Promise.all(people.map(({ keys }) => keys.code()))
    expect(codes[0]).toMatch(/^(\d{5} ){11}\d{5}$/)
    expect(new Set(codes).size).toBe(1)
    for (const person of people) {
      for (const other of people) {
        if (other === person) continue
        expect(person.keys.standing(other.id)).toBe('keyed')
        expect(await hears(other, person, 'hello')).toBe('hello')
      }
    }
  })

  test('show no key while they are alone: who comes later has committed by then', async () => {
    const { clinic, people } = await call('ana')
    expect(Object.keys(people[0].keys.attributes)).toEqual([MEMBERS])
    const ben = await Person.make('ben', clinic)
    await ben.enter(clinic)
    await exchange(people[0], ben)
    expect(Object.keys(people[0].keys.attributes)).toEqual([MEMBERS, CARD, KEYS])
  })

  test('rotate nothing when somebody comes back with the same device, also with a page loaded anew', async () => {
    const { clinic, people } = await call('ana', 'ben')
    const [ana, ben] = people
    const before = [...ana.used]
    const again = await Person.make('ben', clinic, ben.device)
    await again.keys.enter(ROOM, 'ben', await clinic.list({ iat: NOW_S + 60, exp: NOW_S + 660 }))
    await exchange(ana, again)
    expect(ana.used).toEqual(before)
    expect(await again.keys.code()).toBe(await ana.keys.code())
    expect(await hears(again, ana, 'back')).toBe('back')
    expect(await hears(ana, again, 'welcome')).toBe('welcome')
  })

  test('rotate when somebody leaves: what they had opens nothing new', async () => {
    const { clinic, people } = await call('ana', 'ben', 'cleo')
    const [ana, ben, cleo] = people as unknown as [Person, Person, Person]
    clinic.dismiss('cleo')
    await ana.keys.learn(await clinic.list())
    expect(ana.keys.isRotating).toBe(true)
    await exchange(ana, ben)
    expect(ben.keys.generation).toBe(clinic.generation)
    expect(ben.retired).toContainEqual({ id: 'ana', generation: 3 })
    expect(await hears(ana, ben, 'just us')).toBe('just us')
    // The node lets her hear everything that is shown, and every packet.
    await cleo.keys.hear('ana', ana.keys.attributes)
    expect(await hears(ana, cleo, 'just us')).toBeNull()
    expect(ana.keys.standing('cleo')).toBe('unknown')
  })

  test('rotate when somebody comes back with another device', async () => {
    const { clinic, people } = await call('ana', 'ben')
    const [ana, ben] = people
    const code = await ana.keys.code()
    const other = await Person.make('ben', clinic)
    await other.enter(clinic)
    await exchange(ana, other)
    expect(await ana.keys.code()).not.toBe(code)
    expect(await hears(ana, ben, 'x')).toBeNull()
    expect(await hears(ana, other, 'x')).toBe('x')
  })

  test('who cannot encrypt is known as that, and a stranger as nobody', async () => {
    const { clinic, people } = await call('ana', 'ben')
    clinic.members.push({ id: 'old' })
    clinic.generation += 1
    await people[0].keys.learn(await clinic.list())
    expect(people[0].keys.standing('old')).toBe('open')
    await people[0].keys.hear('stranger', {})
    expect(people[0].keys.standing('stranger')).toBe('unknown')
    expect(people[0].asked).toBeGreaterThan(0)
  })
})

describe('a media node in the middle', () => {
  test('is noticed when it swaps a key', async () => {
    const { people } = await call('ana', 'ben')
    const [ana, ben] = people
    const mine = await makeDeviceKeys()
    const { device } = await publicKeys(ben.device)
    const { exchange: swapped } = await publicKeys(mine)
    for (const card of [
      { ...(await publicKeys(mine)), signature: await vouch(mine, ROOM, 'ben') },
      { device, exchange: swapped, signature: await vouch(mine, ROOM, 'ben') },
      {
        ...JSON.parse(ben.keys.attributes[CARD] ?? ''),
        signature: await vouch(ben.device, 'another room', 'ben'),
      },
      'nonsense',
    ]) {
      await ana.keys.hear('ben', { ...ben.keys.attributes, [CARD]: JSON.stringify(card) })
      expect(ana.keys.standing('ben')).toBe('refused')
      expect(await ana.keys.code()).toBeNull()
    }
    await ana.keys.hear('ben', ben.keys.attributes)
    expect(ana.keys.standing('ben')).toBe('keyed')
  })

  test('cannot give one person’s key or words for another’s', async () => {
    const { people } = await call('ana', 'ben', 'cleo')
    const [ana, ben, cleo] = people as unknown as [Person, Person, Person]
    const packet = await ben.keys.seal('chat', said('x'))
    expect(await ana.keys.open('cleo', 'chat', packet)).toBeNull()
    const used = ana.used.length
    await ana.keys.hear('cleo', { ...cleo.keys.attributes, [KEYS]: higher(ben.keys.attributes[KEYS]) })
    expect(ana.used.length).toBe(used)
    expect(ana.keys.standing('cleo')).toBe('refused')
  })

  test('cannot bring an old list or an old key back, nor make one up', async () => {
    const { clinic, people } = await call('ana', 'ben')
    const [ana, ben] = people
    const [old, oldKeys] = [await clinic.list(), ben.keys.attributes[KEYS] ?? '']
    clinic.dismiss('x')
    await ben.keys.learn(await clinic.list())
    await exchange(ana, ben)
    const used = ana.used.length
    await ana.keys.hear('ben', { ...ben.keys.attributes, [MEMBERS]: old, [KEYS]: oldKeys })
    expect([ana.keys.generation, ana.used.length]).toEqual([clinic.generation, used])

    clinic.generation += 1
    const expired = await clinic.list({ iat: NOW_S - 700, exp: NOW_S - 100 })
    const foreign = await (await Clinic.open()).list({ generation: 99 })
    for (const bad of [
      expired,
      foreign,
      await clinic.list({ room: 'another' }),
      await clinic.list({ aud: 'locum-media' }),
      await clinic.list({}, { typ: 'JWT' }),
      await clinic.list({}, { alg: 'none' }),
      await clinic.list({}, { kid: 'other' }),
      `${(await clinic.list()).split('.').slice(0, 2).join('.')}.`,
      'a.b.c',
    ]) {
      await ana.keys.hear('ben', { ...ben.keys.attributes, [MEMBERS]: bad })
      expect(ana.keys.generation).toBe(clinic.generation - 1)
    }
    await ana.keys.hear('ben', { [MEMBERS]: await clinic.list() })
    expect(ana.keys.generation).toBe(clinic.generation)
  })

  test('even with the clinic’s help, changes the digits on one side at least', async () => {
    const clinic = await Clinic.open()
    const [ana, ben] = [await Person.make('ana', clinic), await Person.make('ben', clinic)]
    const [asBen, asAna] = [await Person.make('ben', clinic), await Person.make('ana', clinic)]
    for (const pair of [[ana, asBen] as const, [asAna, ben] as const]) {
      clinic.members = []
      for (const person of pair) await clinic.admit(person)
      for (const person of pair) await person.keys.enter(ROOM, person.id, await clinic.list())
      await exchange(...pair)
    }
    expect(await hears(ana, asBen, 'secret')).toBe('secret')
    expect(await ana.keys.code()).not.toBe(await ben.keys.code())
  })
})

describe('messages', () => {
  test('are accepted once, in order, in their place, and only sealed', async () => {
    const { people } = await call('ana', 'ben')
    const [ana, ben] = people
    const [first, second] = [await ana.keys.seal('chat', said('1')), await ana.keys.seal('chat', said('2'))]
    expect(await ben.keys.open('ana', 'file', first)).toBeNull()
    expect(await ben.keys.open('ana', 'chat', said('in the clear'))).toBeNull()
    const bent = first.slice()
    bent[8] = (bent[8] ?? 0) ^ 1
    expect(await ben.keys.open('ana', 'chat', bent)).toBeNull()
    expect(await ben.keys.open('ana', 'chat', first)).toEqual(said('1'))
    expect(await ben.keys.open('ana', 'chat', first)).toBeNull()
    expect(await ben.keys.open('ana', 'chat', second)).toEqual(said('2'))
    expect(await ben.keys.open('ana', 'chat', first)).toBeNull()
  })
})

function higher(keys: string | undefined): string {
  const { generation, ...rest } = JSON.parse(keys ?? '{}')
  return JSON.stringify({ ...rest, generation: generation + 1 })
}
