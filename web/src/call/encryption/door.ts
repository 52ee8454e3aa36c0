import type { Grant } from 'locum-call'

/** What this browser says of its keys when it asks for a token. */
export interface DeviceWish {
  device: string
  commitment: string
}

/** What a browser says that has none. */
export interface OpenWish {
  open: true
}

/** A grant for somebody who takes part in the encryption. An older release gives none of it. */
export interface EncryptedGrant extends Grant {
  room?: string
  participant?: string
  membership?: string
}

/** The clinic's side of one call. */
export interface CallDoor {
  join: (wish: { nearest?: string[]; encryption: DeviceWish | OpenWish }) => Promise<EncryptedGrant>
  /** Who takes part now. */
  membership: () => Promise<string>
  /** Takes this person out of the encryption. */
  leave: () => Promise<unknown>
}
