import { LocalTrack, type Participant, RemoteTrack, type Room } from 'livekit-client'

/** How somebody's sound and pictures travel: what arrives of others, and what this person sends. Absent: not known. */
export interface Line {
  participant: string
  /** Of a thousand packets so many were lost. */
  lossPermille?: number
  /** To the media node and back. */
  roundTripMs?: number
  soundKbps?: number
  pictureKbps?: number
  /** Of the largest picture. */
  width?: number
  height?: number
}

/** What has been counted since a connection began. */
interface Count {
  atMs: number
  packets: number
  lost: number
  soundBytes: number
  pictureBytes: number
  width: number
  height: number
  roundTripMs: number | null
}

/** Measures the people of a room, each time since the time before. */
export class LineMeter {
  #before = new Map<string, Count>()

  constructor(private readonly room: Room) {}

  async measure(): Promise<Line[]> {
    const people = [this.room.localParticipant, ...this.room.remoteParticipants.values()]
    const counted = await Promise.all(
      people.map(async (person) => [person.identity, await count(person)] as const),
    )
    const before = this.#before
    this.#before = new Map(counted)
    return counted.map(([participant, now]) => ({ participant, ...between(before.get(participant), now) }))
  }
}

async function count(person: Participant): Promise<Count> {
  const tracks = [...person.trackPublications.values()].map(({ track }) => track)
  const ours = tracks.filter((track) => track instanceof LocalTrack || track instanceof RemoteTrack)
  const reports = await Promise.all(ours.map((track) => track.getRTCStatsReport().catch(() => undefined)))
  const total = sum(
    reports.flatMap((report) => [...(report?.values() ?? [])]),
    performance.now(),
  )
  // The line to the node is this browser's, whosever tracks it carries.
  return person.isLocal ? total : { ...total, roundTripMs: null }
}

/** Adds up the entries of a person's tracks (W3C webrtc-stats). */
export function sum(entries: readonly Entry[], atMs: number): Count {
  const of = (...types: string[]) => entries.filter(({ type }) => types.includes(type))
  const media = of('inbound-rtp', 'outbound-rtp')
  const bytes = (kind: string) =>
    total(
      media.filter((entry) => entry.kind === kind),
      ({ bytesReceived, bytesSent }) => bytesReceived ?? bytesSent,
    )
  const [largest] = [...media].sort((one, other) => (other.frameHeight ?? 0) - (one.frameHeight ?? 0))
  const roundTrip = of('candidate-pair').find(({ nominated }) => nominated)?.currentRoundTripTime
  return {
    atMs,
    packets: total(
      media,
      ({ packetsReceived, packetsSent, packetsLost }) =>
        (packetsReceived ?? packetsSent ?? 0) + (packetsLost ?? 0),
    ),
    // What the node lost of what was sent, it reports itself.
    lost: total([...media, ...of('remote-inbound-rtp')], ({ packetsLost }) => packetsLost),
    soundBytes: bytes('audio'),
    pictureBytes: bytes('video'),
    width: largest?.frameWidth ?? 0,
    height: largest?.frameHeight ?? 0,
    roundTripMs: roundTrip === undefined ? null : Math.round(roundTrip * 1000),
  }
}

function total(entries: readonly Entry[], value: (entry: Entry) => number | undefined): number {
  return entries.reduce((before, entry) => before + (value(entry) ?? 0), 0)
}

/** The entries' fields that are read. */
export interface Entry {
  type: string
  kind?: string
  nominated?: boolean
  currentRoundTripTime?: number
  packetsReceived?: number
  packetsSent?: number
  packetsLost?: number
  bytesReceived?: number
  bytesSent?: number
  frameWidth?: number
  frameHeight?: number
}

/** How a line was between two counts. */
export function between(before: Count | undefined, now: Count): Omit<Line, 'participant'> {
  const line: Omit<Line, 'participant'> = {}
  if (now.height > 0) Object.assign(line, { width: now.width, height: now.height })
  if (now.roundTripMs !== null) line.roundTripMs = now.roundTripMs
  // A track that is gone takes its counts along: then the next time tells.
  const packets = now.packets - (before?.packets ?? 0)
  const seconds = (now.atMs - (before?.atMs ?? now.atMs)) / 1000
  if (!before || packets <= 0 || seconds <= 0) return line
  const kbps = (bytes: number) => Math.max(0, Math.round((bytes * 8) / 1000 / seconds))
  line.lossPermille = Math.min(1000, Math.max(0, Math.round(((now.lost - before.lost) / packets) * 1000)))
  line.soundKbps = kbps(now.soundBytes - before.soundBytes)
  line.pictureKbps = kbps(now.pictureBytes - before.pictureBytes)
  return line
}
