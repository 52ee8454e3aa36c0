import { RoomAudioRenderer, RoomContext } from '@livekit/components-react'
import type { Grant } from 'locum-call'
import { CallControls } from './CallControls'
import { CallHelp, type CallReport } from './CallHelp'
import { CallStage } from './CallStage'
import { ConnectionBanner } from './ConnectionBanner'
import type { DeviceChoice } from './devices'
import { SoundGate } from './SoundGate'
import { TroubleHelp } from './TroubleHelp'
import { useCall } from './useCall'
import './call.css'

interface Props {
  /** Who is expected on the other side, as this person knows them. */
  other: string
  join: (nearest?: string[]) => Promise<Grant>
  choice: DeviceChoice
  /** Tells the clinic what is wrong with the call, and at which media node. */
  report: (kind: CallReport, node: string | null) => Promise<void>
  mayAskForPhone?: boolean
  onLeave: () => void
  onRefused: (error: unknown) => void
}

/** A call, from “connecting” to “left”: picture, sound, and what the person can do. */
export function CallRoom({ other, join, choice, report, mayAskForPhone = false, onLeave, onRefused }: Props) {
  const call = useCall({ join, choice, onRefused })
  return (
    <RoomContext.Provider value={call.room}>
      <div className="call">
        <ConnectionBanner phase={call.phase} onRetry={call.retry} />
        <TroubleHelp
          opened={{
            stream: null,
            cameraTrouble: call.cameraTrouble,
            microphoneTrouble: call.microphoneTrouble,
          }}
        />
        <SoundGate />
        <CallStage other={other} connected={call.phase === 'connected'} soundOnly={call.soundOnly} />
        <CallControls
          call={call}
          onLeave={onLeave}
          help={<CallHelp report={(kind) => report(kind, call.node)} mayAskForPhone={mayAskForPhone} />}
        />
        <RoomAudioRenderer />
      </div>
    </RoomContext.Provider>
  )
}
