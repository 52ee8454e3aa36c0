import { describe, expect, test } from 'vitest'
import { Conversation } from './Conversation'
import { decode, encode, LARGEST_FILE_BYTES, LONGEST_TEXT, partsOf } from './message'

function pair() {
  const theirs = new Conversation(
    async () => {},
    () => {},
  )
  const mine = new Conversation(
    async (content) => theirs.hear('me', content),
    () => {},
  )
  return { mine, theirs }
}

describe('a conversation', () => {
  test('carries texts', async () => {
    const { mine, theirs } = pair()
    await mine.say('  Wie geht’s? 🙂 ')
    await mine.say('   ')
    expect(theirs.entries.map(({ text, sender }) => [text, sender])).toEqual([['Wie geht’s? 🙂', 'me']])
    expect(mine.entries.map(({ sender }) => sender)).toEqual([null])
  })

  test('carries files in parts, and none that is too large', async () => {
    const { mine, theirs } = pair()
    const content = crypto.getRandomValues(new Uint8Array(60_000))
    expect(await mine.give('scan.pdf', new Blob([content], { type: 'text/html' }))).toBe(true)
    expect(await mine.give('empty', new Blob([]))).toBe(true)
    const [file, empty] = theirs.entries.map((entry) => entry.file)
    const arrived = (await file?.content.arrayBuffer()) ?? new ArrayBuffer(0)
    expect(Buffer.compare(Buffer.from(arrived), content)).toBe(0)
    expect([file?.name, file?.content.type]).toEqual(['scan.pdf', 'application/octet-stream'])
    expect(empty?.content.size).toBe(0)
    expect(await mine.give('large', new Blob([new Uint8Array(LARGEST_FILE_BYTES + 1)]))).toBe(false)
  })

  test('says what was not sent by not showing it', async () => {
    const conversation = new Conversation(
      () => Promise.reject(new Error('no room')),
      () => {},
    )
    await expect(conversation.say('x')).rejects.toThrow()
    expect(conversation.entries).toEqual([])
  })

  test('takes no part out of turn and keeps few unfinished files', () => {
    const { theirs } = pair()
    const parts = partsOf('f', 'n', new Uint8Array(30_000)).map(encode)
    theirs.hear('me', parts[1] ?? new Uint8Array())
    theirs.hear('me', parts[0] ?? new Uint8Array())
    theirs.hear('me', parts[2] ?? new Uint8Array())
    expect(theirs.entries).toEqual([])
    for (let n = 0; n < 9; n++) {
      const [first] = partsOf(`${n}`, 'n', new Uint8Array(30_000)).map(encode)
      theirs.hear('me', first ?? new Uint8Array())
    }
    // The first file has been given up for the others.
    theirs.hear('me', parts[1] ?? new Uint8Array())
    theirs.hear('me', parts[2] ?? new Uint8Array())
    expect(theirs.entries).toEqual([])
  })
})

describe('a message', () => {
  test('that is none is not read', () => {
    const file = { kind: 'file' as const, id: '1', name: 'n', size: 3, offset: 0, part: new Uint8Array(3) }
    expect(decode(encode(file))).toEqual(file)
    const bad = [
      { ...file, size: LARGEST_FILE_BYTES + 1 },
      { ...file, offset: 1 },
      { ...file, offset: -1 },
      { ...file, size: 0.5 },
      { ...file, name: '' },
      { kind: 'text' as const, id: '1', text: 'x'.repeat(LONGEST_TEXT + 1) },
      { kind: 'text' as const, id: '', text: 'x' },
    ]
    for (const message of bad) expect(decode(encode(message)), JSON.stringify(message)).toBeNull()
    for (const bytes of [[], [0], [0, 9, 1], [255, 255]]) expect(decode(Uint8Array.from(bytes))).toBeNull()
  })
})
