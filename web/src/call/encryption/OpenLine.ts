import { Room, RoomEvent, type RoomOptions } from 'livekit-client'
import type { CallLine, Shown } from './CallLine'
import type { CallDoor, EncryptedGrant } from './door'

const SHOWN: Shown = { privacy: 'open', code: null }

/** The line of a browser that cannot encrypt, of a person who knows that. The others are asked. */
export class OpenLine implements CallLine {
  constructor(private readonly door: () => CallDoor) {}

  join(nearest?: string[]): Promise<EncryptedGrant> {
    return this.door().join({ ...(nearest && { nearest }), encryption: { open: true } })
  }

  /** Bound to nothing: the token itself. */
  async pass(_: string, token: string): Promise<string> {
    return token
  }

  room(options: RoomOptions): Room {
    const room = new Room(options)
    // What this browser cannot open would be played as noise. Whoever agrees publishes anew.
    room.on(RoomEvent.TrackSubscribed, (_, publication) => {
      if (publication.isEncrypted) publication.setSubscribed(false)
    })
    return room
  }

  release(): void {}

  async ready(): Promise<void> {}

  async refresh(): Promise<void> {}

  async leave(): Promise<void> {
    await this.door().leave()
  }

  async send(): Promise<void> {
    throw new TypeError('messages are sealed, and this browser cannot do that')
  }

  listen(): () => void {
    return () => {}
  }

  agree(): void {}

  readonly watch = () => () => {}

  readonly show = () => SHOWN
}
