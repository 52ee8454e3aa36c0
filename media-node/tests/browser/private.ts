// The web client's encryption, without the pages around it.
import { type RemoteTrack, type Room, RoomEvent } from 'livekit-client'
import { enterRoom, keepConnected, LiveKitStay, pauseUntilNetworkChange } from 'locum-call'
import { CallEncryption } from '../../../web/src/call/encryption/CallEncryption'

const ask = async (path: string, who: string, body: unknown = {}) => {
  const answer = await fetch(`${path}?who=${who}`, { method: 'POST', body: JSON.stringify(body) })
  return answer.json()
}

let room: Room
let encryption: CallEncryption
const phases: [string, string, number][] = []
const messages: string[] = []

function open() {
  const publishDefaults = { simulcast: false, backupCodec: false as const, red: false }
  const next = encryption.room({ singlePeerConnection: true, publishDefaults })
  next.on(RoomEvent.TrackSubscribed, (track: RemoteTrack) => document.querySelector('#stage')?.append(track.attach()))
  return next
}

async function publish(into: Room) {
  await encryption.ready(into)
  await into.localParticipant.setCameraEnabled(true, { resolution: { width: 640, height: 360, frameRate: 20 } })
  await into.localParticipant.setMicrophoneEnabled(true)
}

async function connect() {
  const grant = await encryption.join()
  const url = grant.nodes[0]?.url ?? ''
  room = open()
  await room.connect(url, await encryption.pass(url, grant.token), { maxRetries: 0 })
  await publish(room)
}

/** As the web client does: whoever loses their node, or their network, comes back by themselves. */
function keep(): Promise<void> {
  return new Promise((connected) => {
    const line = {
      join: () => encryption.join(),
      race: async <N>(nodes: N[]) => nodes,
      async connect({ node, url, token }: { node: string; url: string; token: string }, _: unknown, signal: AbortSignal) {
        const next = open()
        await enterRoom(next, { url, token: await encryption.pass(url, token), connect: { maxRetries: 0 } }, signal)
        void publish(next)
        return new LiveKitStay(next, node, url, true)
      },
      show(stay: LiveKitStay) {
        room = stay.room
        connected()
      },
      isFinal: () => false,
      say: (phase: string) => phases.push([phase, '', Math.round(performance.now())]),
      nowMs: () => performance.now(),
      clinicMs: () => Date.now(),
      pause: pauseUntilNetworkChange,
    }
    void keepConnected(line, new AbortController().signal)
  })
}

Object.assign(window, {
  call: {
    async begin(who: string, kept = false) {
      encryption = await CallEncryption.open(who, () => ({
        join: (wish) => ask('/join', who, wish),
        membership: async () => (await ask('/membership', who)).membership,
        leave: () => ask('/leave', who),
      }))
      encryption.listen(({ sender, topic, content }) => {
        messages.push(`${sender}/${topic}/${new TextDecoder().decode(content)}`)
      })
      await (kept ? keep() : connect())
    },
    phases: () => phases,
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
