// The web client's encryption, without the pages around it.
import { type RemoteTrack, type Room, RoomEvent } from 'livekit-client'
import { CallEncryption } from '../../../web/src/call/encryption/CallEncryption'

const ask = async (path: string, who: string, body: unknown = {}) => {
  const answer = await fetch(`${path}?who=${who}`, { method: 'POST', body: JSON.stringify(body) })
  return answer.json()
}

let room: Room
let encryption: CallEncryption
let url = ''
const messages: string[] = []

async function connect() {
  const grant = await encryption.join()
  url = grant.nodes[0]?.url ?? ''
  const publishDefaults = { simulcast: false, backupCodec: false as const, red: false }
  room = encryption.room({ singlePeerConnection: true, publishDefaults })
  room.on(RoomEvent.TrackSubscribed, (track: RemoteTrack) => document.querySelector('#stage')?.append(track.attach()))
  await room.connect(url, await encryption.pass(url, grant.token), { maxRetries: 0 })
  await encryption.ready(room)
  await room.localParticipant.setCameraEnabled(true, { resolution: { width: 640, height: 360, frameRate: 20 } })
  await room.localParticipant.setMicrophoneEnabled(true)
}

Object.assign(window, {
  call: {
    async begin(who: string) {
      encryption = await CallEncryption.open(who, () => ({
        join: (wish) => ask('/join', who, wish),
        membership: async () => (await ask('/membership', who)).membership,
        leave: () => ask('/leave', who),
      }))
      encryption.listen(({ sender, topic, content }) => {
        messages.push(`${sender}/${topic}/${new TextDecoder().decode(content)}`)
      })
      await connect()
    },
    shown: () => encryption.show(),
    leave: () => encryption.leave(),
    messages: () => messages,
    say: (text: string) => encryption.send(room, 'chat', new TextEncoder().encode(text)),
    sayInTheClear: (text: string) =>
      room.localParticipant.publishData(new TextEncoder().encode(text), { reliable: true, topic: 'chat' }),
    simulate: (scenario: Parameters<Room['simulateScenario']>[0]) => room.simulateScenario(scenario),
    /** What a node does that says of somebody's tracks that they are not encrypted. */
    callClear(who: string) {
      const { e2eeManager } = room as unknown as { e2eeManager: { setParticipantCryptorEnabled: (on: boolean, who: string) => void } }
      e2eeManager.setParticipantCryptorEnabled(false, who)
    },
    async arriving() {
      const sum = { frames: 0, energy: 0, packets: 0 }
      for (const participant of room.remoteParticipants.values()) {
        for (const publication of participant.trackPublications.values()) {
          const report = await publication.track?.getRTCStatsReport()
          for (const stat of report?.values() ?? []) {
            if (stat.type !== 'inbound-rtp') continue
            sum.packets += stat.packetsReceived
            sum.frames += stat.framesDecoded ?? 0
            sum.energy += stat.totalAudioEnergy ?? 0
          }
        }
      }
      return sum
    },
  },
})
