import { type Participant, RemoteTrack, type Room, RoomEvent } from 'livekit-client'
import type { CallKeys } from './CallKeys'
import type { Privacy } from './CallLine'

/** Frames that cannot be decrypted for longer are no mere change of keys. */
const TROUBLE_AFTER_MS = 1_500
const LOOK_EVERY_MS = 1_000
/** The list of members is asked for again: a node could keep from us that somebody left. */
const REFRESH_EVERY_MS = 30_000
/** After somebody is gone, their leave may take a moment to be known everywhere. */
const LEAVES_AFTER_MS = [300, 3_000]
const PUBLISH_AGAIN_MS = 1_000
/** Longer nobody waits with their media for the attributes. */
const PUBLISHED_WITHIN_MS = 3_000

interface Outside {
  refresh: () => Promise<void>
  changed: () => void
  /** What somebody sent, as the node passed it on: sealed or not. */
  data: (sender: string, topic: string, packet: Uint8Array) => void
}

/** One connection of a call: what its participants show goes to the keys, and what the keys want shown to them. */
export class RoomLink {
  private readonly over = new AbortController()
  private readonly timers = new Set<ReturnType<typeof setTimeout>>()
  /** Whose frames cannot be decrypted: since when, and what had been decoded of them by then. */
  private readonly troubles = new Map<string, { sinceMs: number; decoded: number }>()
  private readonly decrypting = new Set<string>()
  private said = ''
  private heardGeneration = 0
  private publishing: Promise<void> | null = null

  constructor(
    private readonly room: Room,
    private readonly keys: CallKeys,
    private readonly outside: Outside,
  ) {
    const hear = (participant: Participant) => void this.hear(participant)
    this.on(RoomEvent.Connected, () => this.arrived())
    this.on(RoomEvent.Reconnected, () => this.arrived())
    this.on(RoomEvent.ParticipantConnected, hear)
    this.on(RoomEvent.ParticipantAttributesChanged, (_: unknown, participant: Participant) =>
      hear(participant),
    )
    this.on(RoomEvent.ParticipantDisconnected, () => {
      for (const ms of LEAVES_AFTER_MS) this.later(ms, () => void this.outside.refresh())
      this.outside.changed()
    })
    this.on(RoomEvent.ParticipantEncryptionStatusChanged, (enabled: boolean, participant?: Participant) => {
      if (participant && enabled) this.decrypting.add(participant.identity)
      if (participant && !enabled) this.decrypting.delete(participant.identity)
      this.outside.changed()
    })
    this.on(RoomEvent.EncryptionError, (_: Error, participant?: Participant) => {
      const id = participant?.identity ?? ''
      if (!this.troubles.has(id)) this.troubles.set(id, { sinceMs: performance.now(), decoded: -1 })
    })
    const look = setInterval(() => void this.lookAtTroubles(), LOOK_EVERY_MS)
    this.on(
      RoomEvent.DataReceived,
      (packet: Uint8Array, sender?: Participant, _?: unknown, topic?: string) => {
        if (sender && topic) this.outside.data(sender.identity, topic, packet)
      },
    )
    const refresh = setInterval(() => void this.outside.refresh(), REFRESH_EVERY_MS)
    this.over.signal.addEventListener('abort', () => {
      clearInterval(refresh)
      clearInterval(look)
    })
  }

  close(): void {
    this.over.abort()
    for (const timer of this.timers) clearTimeout(timer)
  }

  /** Publishes what changed, and looks again at everybody when the list of members did. */
  follow(): void {
    if (this.room.state !== 'connected') return
    this.publish()
    if (this.heardGeneration === this.keys.generation) return
    this.heardGeneration = this.keys.generation
    for (const participant of this.room.remoteParticipants.values()) void this.hear(participant)
  }

  /** Resolves when the first attributes are with the node, or do not get there. */
  async published(): Promise<void> {
    const late = new Promise((resolve) => this.later(PUBLISHED_WITHIN_MS, () => resolve(undefined)))
    await Promise.race([this.publishing, late])
  }

  /** What is true of everybody in the room: their key is here, their frames open, and ours are closed. */
  privacy(): Privacy {
    const others = [...this.room.remoteParticipants.values()]
    const troubled = ({ sinceMs }: { sinceMs: number }) => performance.now() - sinceMs > TROUBLE_AFTER_MS
    if (others.length === 0) return 'alone'
    if (others.some(({ identity }) => this.keys.standing(identity) === 'refused')) return 'broken'
    const keyed = others.every(({ identity }) => this.keys.standing(identity) === 'keyed')
    const opens = others.every(
      ({ identity, trackPublications }) => trackPublications.size === 0 || this.decrypting.has(identity),
    )
    const closes = this.decrypting.has(this.room.localParticipant.identity)
    if (!keyed || !opens || !closes) return 'securing'
    return [...this.troubles.values()].some(troubled) ? 'broken' : 'private'
  }

  private arrived(): void {
    if (this.room.localParticipant.identity !== this.keys.participant) {
      // The node says that we are somebody else: what it wants with that is no call of ours.
      void this.room.disconnect()
      return
    }
    this.said = ''
    this.heardGeneration = 0
    this.follow()
    this.outside.changed()
  }

  private async hear(participant: Participant): Promise<void> {
    if (participant.isLocal) return
    await this.keys.hear(participant.identity, participant.attributes)
  }

  /** The SDK stops telling of errors after a few. What is decoded again ends the trouble, and nothing else does. */
  private async lookAtTroubles(): Promise<void> {
    for (const [id, trouble] of this.troubles) {
      const decoded = await this.decodedOf(id)
      if (decoded === null || (trouble.decoded >= 0 && decoded > trouble.decoded)) this.troubles.delete(id)
      else trouble.decoded = decoded
    }
    this.outside.changed()
  }

  /** Frames decoded and samples played of somebody; `null` for who is not there, or sends nothing. */
  private async decodedOf(id: string): Promise<number | null> {
    const publications = this.room.remoteParticipants.get(id)?.trackPublications.values() ?? []
    const tracks = [...publications].map(({ track }) => track).filter((track) => track instanceof RemoteTrack)
    if (tracks.length === 0) return null
    let decoded = 0
    for (const track of tracks) {
      const report = await track.getRTCStatsReport().catch(() => undefined)
      for (const entry of report?.values() ?? []) {
        if (entry.type !== 'inbound-rtp') continue
        decoded +=
          (entry.framesDecoded ?? 0) + (entry.kind === 'audio' ? (entry.jitterBufferEmittedCount ?? 0) : 0)
      }
    }
    return decoded
  }

  private publish(): void {
    if (this.publishing) return
    const attributes = this.keys.attributes
    const text = JSON.stringify(attributes)
    if (text === this.said || text === '{}') return
    this.publishing = this.room.localParticipant
      .setAttributes(attributes)
      .then(() => {
        this.said = text
      })
      .catch(() => new Promise<void>((resolve) => this.later(PUBLISH_AGAIN_MS, resolve)))
      .finally(() => {
        this.publishing = null
        // What changed meanwhile; or, after a failure, the same again.
        if (!this.over.signal.aborted) this.follow()
      })
  }

  private later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      act()
    }, ms)
    this.timers.add(timer)
  }

  // biome-ignore lint/suspicious/noExplicitAny: the SDK's listeners have a type for each event.
  private on(event: RoomEvent, listener: (...args: any[]) => void): void {
    this.room.on(event as RoomEvent.Connected, listener)
    this.over.signal.addEventListener('abort', () => this.room.off(event as RoomEvent.Connected, listener))
  }
}
