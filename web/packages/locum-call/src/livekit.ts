import {
  ConnectionState,
  DisconnectReason,
  LocalAudioTrack,
  LocalTrack,
  LocalVideoTrack,
  RemoteTrack,
  type RemoteTrackPublication,
  type Room,
  type RoomConnectOptions,
  RoomEvent,
  Track,
} from 'livekit-client'
import { untilHeard, untilLost, type Watched, type World } from './loss'
import { movingWithinMs } from './moving'
import { onNetworkChange } from './networkChange'
import { answers } from './probe'
import type { End, Kind, Seen, Stay } from './stay'

/** After these the clinic decides whether there is a call to come back to. */
const DISMISSALS: ReadonlySet<DisconnectReason | undefined> = new Set([
  DisconnectReason.DUPLICATE_IDENTITY,
  DisconnectReason.PARTICIPANT_REMOVED,
  DisconnectReason.ROOM_CLOSED,
  DisconnectReason.ROOM_DELETED,
])

/** What this person publishes. */
export type OwnTrack = LocalAudioTrack | LocalVideoTrack

export interface EnterOptions {
  url: string
  token: string
  connect?: RoomConnectOptions
}

/** Connects a room; fails, disconnected, when that does not work or `signal` aborts. */
export async function enterRoom(room: Room, options: EnterOptions, signal: AbortSignal): Promise<void> {
  const stop = () => void room.disconnect(false)
  signal.addEventListener('abort', stop, { once: true })
  try {
    await room.connect(options.url, options.token, options.connect)
  } catch (error) {
    await room.disconnect(false)
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
  if (signal.aborted) {
    await room.disconnect(false)
    throw new DOMException('aborted', 'AbortError')
  }
}

/** What is muted stays muted; a camera that is off has no track. */
function copyTracks(room: Room): OwnTrack[] {
  return [...room.localParticipant.trackPublications.values()].flatMap(({ track }) => copyTrack(track))
}

function copyTrack(track: Track | undefined): OwnTrack[] {
  if (!(track instanceof LocalTrack) || track.mediaStreamTrack.readyState === 'ended') return []
  const [media, constraints] = [track.mediaStreamTrack.clone(), track.constraints]
  const copy =
    track.kind === Track.Kind.Audio
      ? new LocalAudioTrack(media, constraints, false)
      : new LocalVideoTrack(media, constraints, false)
  copy.source = track.source
  if (track.isMuted) void copy.mute()
  return [copy]
}

/** A connected room as one stay. */
export class LiveKitStay implements Stay {
  #showed: Seen = new Map()
  #changedMs = Number.NEGATIVE_INFINITY
  #world: World
  #line: Watched
  #spare: OwnTrack[] = []

  constructor(
    readonly room: Room,
    readonly node: string,
    url: string,
    /** What the SDK holds is a pass of the node's, which renews it itself. */
    readonly hasPass = false,
  ) {
    this.#line = {
      arrived: () => arrivedIn(room),
      reconnecting: () => room.state !== ConnectionState.Connected,
      expected: () => isSending(room) || sentIn(room).size > 0,
      changedMs: () => this.#changedMs,
    }
    this.#world = {
      nowMs: () => performance.now(),
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      answers: (signal) => answers(url, signal),
    }
    // An SDK that gives up lets go of the devices: a person would have to allow them anew.
    const hold = () => {
      this.#letGo()
      this.#spare = copyTracks(room)
    }
    room.on(RoomEvent.SignalReconnecting, hold).on(RoomEvent.Reconnecting, hold)
    room.on(RoomEvent.Reconnected, () => this.#letGo())
  }

  /**
   * What this person publishes here, or published until the SDK gave up, once more and from the same devices: for
   * another room while this one goes on.
   */
  tracks = (): OwnTrack[] =>
    this.room.state === ConnectionState.Disconnected ? this.#spare.flatMap(copyTrack) : copyTracks(this.room)

  ends = (signal: AbortSignal): Promise<End> =>
    new Promise((resolve) => {
      const { room } = this
      const over = new AbortController()
      const end = (why: End) => {
        over.abort()
        room.off(RoomEvent.Disconnected, disconnected).off(RoomEvent.RoomMetadataChanged, told)
        signal.removeEventListener('abort', lost)
        resolve(why)
      }
      const lost = () => end({ why: 'lost' })
      onNetworkChange(() => {
        this.#changedMs = this.#world.nowMs()
      }, over.signal)
      const disconnected = (reason?: DisconnectReason) =>
        end({ why: DISMISSALS.has(reason) ? 'dismissed' : 'lost' })
      const told = () => {
        const withinMs = movingWithinMs(room.metadata)
        if (withinMs !== null) end({ why: 'moving', byMs: this.#world.nowMs() + withinMs })
      }
      room.on(RoomEvent.Disconnected, disconnected).on(RoomEvent.RoomMetadataChanged, told)
      signal.addEventListener('abort', lost, { once: true })
      if (signal.aborted || room.state === ConnectionState.Disconnected) return lost()
      told()
      const remember = () => {
        this.#showed = sentIn(room)
      }
      void untilLost(this.#line, this.#world, over.signal, remember).then((why) => end({ why }))
    })

  revives = async (end: End, signal: AbortSignal): Promise<void> => {
    const never = new Promise<void>(() => {})
    if (end.why === 'dismissed' || this.room.state === ConnectionState.Disconnected) return never
    if (end.why !== 'moving') return untilHeard(this.#line, this.#world, signal)
    return new Promise((resolve) => {
      const told = () => {
        if (movingWithinMs(this.room.metadata) === null) resolve()
      }
      this.room.on(RoomEvent.RoomMetadataChanged, told)
      signal.addEventListener('abort', () => this.room.off(RoomEvent.RoomMetadataChanged, told), {
        once: true,
      })
      told()
    })
  }

  showed = (): Seen => this.#showed

  shows = (): Promise<Seen> => arrivingIn(this.room)

  isAlone = (): boolean => this.room.remoteParticipants.size === 0

  /** As if the node had sent it: the SDK resumes with it when the line breaks for a moment. */
  renew = (token: string): void => {
    if (!this.hasPass) this.room.engine?.client.onTokenRefresh?.(token)
  }

  leave = (): void => {
    this.#letGo()
    void this.room.disconnect(true)
  }

  #letGo(): void {
    for (const track of this.#spare.splice(0)) track.stop()
  }
}

/** Bytes and answered connectivity checks of all routes of a peer connection. */
export function arrivedBy(report: Iterable<unknown>): number {
  let sum = 0
  for (const entry of report) {
    const { type, bytesReceived = 0, responsesReceived = 0 } = entry as RTCIceCandidatePairStats
    if (type === 'candidate-pair') sum += bytesReceived + responsesReceived
  }
  return sum
}

/** All tracks share one peer connection: any of them knows its routes. */
async function arrivedIn(room: Room): Promise<number | null> {
  const people = [room.localParticipant, ...room.remoteParticipants.values()]
  const tracks = people.flatMap((person) => [...person.trackPublications.values()].map(({ track }) => track))
  const any = tracks.find((track) => track instanceof LocalTrack || track instanceof RemoteTrack)
  const report = await any?.getRTCStatsReport().catch(() => undefined)
  return report ? arrivedBy(report.values()) : null
}

/** Whoever sends is told how it arrives, several times a second. */
function isSending(room: Room): boolean {
  const { trackPublications } = room.localParticipant
  return [...trackPublications.values()].some(({ isMuted, track }) => track && !isMuted)
}

/** What the others send: all of theirs that is not muted, as far as this person's line carries it. */
function sentIn(room: Room): Seen {
  return seen(room, ({ isMuted, track }) => !isMuted && track?.streamState === Track.StreamState.Active)
}

/** What of the others arrives. Who is muted sends nothing, and is not waited for. */
export async function arrivingIn(room: Room): Promise<Seen> {
  const arrives = new Set<RemoteTrackPublication>()
  for (const person of room.remoteParticipants.values()) {
    for (const publication of person.trackPublications.values()) {
      const report = await publication.track?.getRTCStatsReport().catch(() => undefined)
      if (publication.isMuted || [...(report?.values() ?? [])].some(isArriving)) arrives.add(publication)
    }
  }
  return seen(room, (publication) => arrives.has(publication))
}

function isArriving(entry: RTCInboundRtpStreamStats): boolean {
  if (entry.type !== 'inbound-rtp') return false
  return (entry.kind === 'video' ? entry.framesDecoded : entry.packetsReceived) !== 0
}

function seen(room: Room, counts: (publication: RemoteTrackPublication) => boolean): Seen {
  const people = [...room.remoteParticipants.values()].map((person): [string, Set<Kind>] => {
    const publications = [...person.trackPublications.values()].filter(counts)
    return [
      person.identity,
      new Set(publications.map(({ kind }) => (kind === Track.Kind.Audio ? 'audio' : 'video'))),
    ]
  })
  return new Map(people)
}
