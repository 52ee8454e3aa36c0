import type { Bytes } from '../encryption/bytes'

/** Of what passes between people beside picture and sound. */
export const CHAT_TOPIC = 'locum.chat'

export const LONGEST_TEXT = 4_000
export const LARGEST_FILE_BYTES = 1024 * 1024
/** One message of the data channel with everything around it is less than 16 KiB, which every browser carries. */
const PART_BYTES = 12 * 1024
const LONGEST_NAME = 200
const LONGEST_HEAD = 20_000

/** One message: a text, or a part of a file. */
export type ChatMessage =
  | { kind: 'text'; id: string; text: string }
  | { kind: 'file'; id: string; name: string; size: number; offset: number; part: Bytes }

/** A head in JSON with its length before it, and bytes behind it. */
export function encode(message: ChatMessage): Bytes {
  const { part, ...rest } = message.kind === 'file' ? message : { ...message, part: new Uint8Array() }
  const head = new TextEncoder().encode(JSON.stringify(rest))
  const bytes = new Uint8Array(2 + head.length + part.length)
  new DataView(bytes.buffer).setUint16(0, head.length)
  bytes.set(head, 2)
  bytes.set(part, 2 + head.length)
  return bytes
}

/** `null` for what is none: others may be careless, or worse. */
export function decode(bytes: Bytes): ChatMessage | null {
  try {
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint16(0)
    if (length > LONGEST_HEAD) return null
    const head = JSON.parse(new TextDecoder().decode(bytes.slice(2, 2 + length)))
    if (!isText(head.id, 64)) return null
    if (head.kind === 'text' && isText(head.text, LONGEST_TEXT)) {
      return { kind: 'text', id: head.id, text: head.text }
    }
    const { kind, id, name, size, offset } = head
    const part = bytes.slice(2 + length)
    const fits = isSize(size, LARGEST_FILE_BYTES) && isSize(offset, size) && offset + part.length <= size
    return kind === 'file' && isText(name, LONGEST_NAME) && fits
      ? { kind, id, name, size, offset, part }
      : null
  } catch {
    return null
  }
}

/** A file in parts. */
export function partsOf(id: string, name: string, content: Bytes): ChatMessage[] {
  const parts: ChatMessage[] = []
  for (let offset = 0; offset === 0 || offset < content.length; offset += PART_BYTES) {
    const part = content.slice(offset, offset + PART_BYTES)
    parts.push({ kind: 'file', id, name: name.slice(-LONGEST_NAME), size: content.length, offset, part })
  }
  return parts
}

function isText(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= longest
}

function isSize(value: unknown, largest: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= largest
}
