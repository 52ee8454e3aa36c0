import { useMaybeRoomContext } from '@livekit/components-react'
import { LocalTrack, RemoteTrack, type Room } from 'livekit-client'
import { useEffect, useState } from 'react'
import { arrived, Pulse } from './Pulse'

const LOOK_EVERY_MS = 1_000

/**
 * Whether nothing at all arrives from the media node, although the connection counts as up: the SDK notices only after
 * its signalling times out, and until then a frozen face looks like a silent one.
 */
export function useStillness(connected: boolean): boolean {
  const room = useMaybeRoomContext()
  const [still, setStill] = useState(false)

  useEffect(() => {
    setStill(false)
    if (!room || !connected) return
    const pulse = new Pulse()
    const timer = setInterval(async () => {
      const report = await anyTrack(room)?.getRTCStatsReport()
      if (report) setStill(pulse.still(arrived(report.values()), performance.now()))
    }, LOOK_EVERY_MS)
    return () => clearInterval(timer)
  }, [room, connected])

  return still
}

/** All tracks share one peer connection: any of them knows its routes. */
function anyTrack(room: Room): LocalTrack | RemoteTrack | undefined {
  const people = [room.localParticipant, ...room.remoteParticipants.values()]
  const tracks = people.flatMap((person) => [...person.trackPublications.values()].map(({ track }) => track))
  return tracks.find((track) => track instanceof LocalTrack || track instanceof RemoteTrack)
}
