import type { Bytes } from '../encryption/bytes'
import { type ChatMessage, decode, encode, LARGEST_FILE_BYTES, LONGEST_TEXT, partsOf } from './message'

/** Something that was said or sent. */
export interface Entry {
  id: string
  /** Their random name in the call; `null`: this person. */
  sender: string | null
  text?: string
  file?: { name: string; content: Blob }
}

const MOST_ENTRIES = 500
/** Files that may be on their way from one person at a time. */
const MOST_FILES = 4

interface Arriving {
  sender: string
  id: string
  content: Bytes
  received: number
}

/** What is said beside a call. It lives as long as the page, and nowhere else. */
export class Conversation {
  entries: readonly Entry[] = []
  private arriving: Arriving[] = []

  constructor(
    private readonly send: (content: Bytes) => Promise<void>,
    private readonly changed: () => void,
  ) {}

  /** Throws when it could not be sent. */
  async say(text: string): Promise<void> {
    const said = text.trim().slice(0, LONGEST_TEXT)
    if (!said) return
    const id = crypto.randomUUID()
    await this.send(encode({ kind: 'text', id, text: said }))
    this.add({ id, sender: null, text: said })
  }

  /** `false` for a file that is too large. Throws when it could not be sent. */
  async give(name: string, content: Blob): Promise<boolean> {
    if (content.size > LARGEST_FILE_BYTES) return false
    const id = crypto.randomUUID()
    const bytes = new Uint8Array(await content.arrayBuffer())
    for (const part of partsOf(id, name, bytes)) await this.send(encode(part))
    this.add({ id, sender: null, file: { name, content: neutral(bytes) } })
    return true
  }

  hear(sender: string, content: Bytes): void {
    const message = decode(content)
    if (message?.kind === 'text') this.add({ id: message.id, sender, text: message.text })
    if (message?.kind === 'file') this.take(sender, message)
  }

  private take(sender: string, { id, name, size, offset, part }: ChatMessage & { kind: 'file' }): void {
    const known = this.arriving.find((file) => file.sender === sender && file.id === id)
    const file = known ?? { sender, id, content: new Uint8Array(size), received: 0 }
    // Parts come one after the other, or something is missing.
    if (offset !== file.received || size !== file.content.length) return
    file.content.set(part, offset)
    file.received += part.length
    this.arriving = this.arriving.filter((other) => other !== file)
    if (file.received === size) {
      this.add({ id, sender, file: { name, content: neutral(file.content) } })
      return
    }
    const theirs = this.arriving.filter((other) => other.sender === sender)
    const oldest = theirs.length >= MOST_FILES ? theirs[0] : null
    this.arriving = [...this.arriving.filter((other) => other !== oldest), file]
  }

  private add(entry: Entry): void {
    this.entries = [...this.entries, entry].slice(-MOST_ENTRIES)
    this.changed()
  }
}

/** Whatever a file says that it is: it is saved, never shown here. */
function neutral(content: Bytes): Blob {
  return new Blob([content], { type: 'application/octet-stream' })
}
