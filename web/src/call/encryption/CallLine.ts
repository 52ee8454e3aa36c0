import type { Room, RoomOptions } from 'livekit-client'
import type { Bytes } from './bytes'
import type { EncryptedGrant } from './door'

/**
 * How private the call is, as far as this browser sees it. `asked`: somebody's browser cannot encrypt, and this person has
 * not agreed to that; `open`: they have, or it is their own.
 */
export type Privacy = 'alone' | 'securing' | 'private' | 'broken' | 'asked' | 'open'

export interface Shown {
  privacy: Privacy
  /** Sixty digits, once everybody has shown their keys. */
  code: string | null
}

/** What somebody sent. */
export interface Message {
  sender: string
  topic: string
  content: Bytes
}

/** One person's way into a call: how they are let in, and who can open what passes. */
export interface CallLine {
  /** Asks the clinic for a grant. Throws what the clinic answers. */
  join(nearest?: string[]): Promise<EncryptedGrant>
  /** What opens a node's WebSocket, for the holder of a token. Throws when the node does not give it. */
  pass(node: string, token: string): Promise<string>
  /** A room of the call. It is released when it is disconnected. */
  room(options: RoomOptions): Room
  /** Lets go of a room that is over. */
  release(room: Room): void
  /** Resolves once the others can have this person's key: what is published before is lost on them. */
  ready(room: Room): Promise<void>
  /** Asks the clinic who takes part now. */
  refresh(): Promise<void>
  /** Takes this device out of the call: the others change their keys. */
  leave(): Promise<void>
  /** Sends to everybody who takes part, over a room. Throws when the room does not take it. */
  send(room: Room, topic: string, content: Bytes): Promise<void>
  /** Whoever listens gets what was sealed by its sender for this call, each message once; call what it answers to stop. */
  listen(listener: (message: Message) => void): () => void
  /** The person agrees to a call that is encrypted up to the media node only. */
  agree(): void
  readonly watch: (watcher: () => void) => () => void
  readonly show: () => Shown
}
