import { RoomAudioRenderer, RoomContext } from '@livekit/components-react'
import type { Grant } from 'locum-call'
import { useClinicApi } from '../api/ClinicApi'
import { CallControls } from './CallControls'
import { CallStage } from './CallStage'
import { ConnectionBanner } from './ConnectionBanner'
import type { DeviceChoice } from './devices'
import type { CallPerson, Expected } from './people'
import { SoundGate } from './SoundGate'
import { TroubleHelp } from './TroubleHelp'
import { useCall } from './useCall'
import './call.css'

interface Props {
  /** Who is expected on the other side, as this person knows them. */
  expected: Expected
  /** Who has joined, as far as the clinic was asked. */
  people: readonly CallPerson[]
  onStranger: () => void
  join: (nearest?: string[]) => Promise<Grant>
  choice: DeviceChoice
  onLeave: () => void
  onRefused: (error: unknown) => void
}

/** A call, from “connecting” to “left”: picture, sound, and what the person can do. */
export function CallRoom({ expected, people, onStranger, join, choice, onLeave, onRefused }: Props) {
  const { clockOffsetMs } = useClinicApi()
  const clinicMs = () => Date.now() + clockOffsetMs
  const call = useCall({ join, choice, clinicMs, onRefused })
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
        <CallStage
          expected={expected}
          people={people}
          onStranger={onStranger}
          connected={call.phase === 'connected'}
          soundOnly={call.soundOnly}
        />
        <CallControls call={call} onLeave={onLeave} />
        <RoomAudioRenderer />
      </div>
    </RoomContext.Provider>
  )
}
