import { RoomAudioRenderer, RoomContext } from '@livekit/components-react'
import { useEffect, useRef, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { Button } from '../design/Button'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { CallControls } from './CallControls'
import { CallHelp, type Reported } from './CallHelp'
import { CallLines } from './CallLines'
import { CallStage } from './CallStage'
import { ConnectionBanner } from './ConnectionBanner'
import { ChatPanel } from './chat/ChatPanel'
import { useChat } from './chat/useChat'
import type { DeviceChoice } from './devices'
import type { CallLine } from './encryption/CallLine'
import type { CallDoor } from './encryption/door'
import { OpenLine } from './encryption/OpenLine'
import { PrivacyLock } from './encryption/PrivacyLock'
import { useCallEncryption } from './encryption/useCallEncryption'
import { MutedNotice } from './MutedNotice'
import { type CallPerson, type Expected, nameOf, useEverybody } from './people'
import { SoundGate } from './SoundGate'
import { TroubleHelp } from './TroubleHelp'
import { useCall } from './useCall'
import { useLines } from './useLines'
import { useMuting } from './useMuting'
import './call.css'

interface Props {
  /** Who is expected on the other side, as this person knows them. */
  expected: Expected
  /** Who has joined, as far as the clinic was asked. */
  people: readonly CallPerson[]
  /** Somebody is seen of whom the clinic has not told yet. */
  onStranger: () => void
  /** Which visit: this browser keeps its keys under that name. */
  visit: string
  door: CallDoor
  choice: DeviceChoice
  /** Tells the clinic what is wrong with the call, and at which media node. */
  report: (said: Reported) => Promise<void>
  mayAskForPhone?: boolean
  /** Staff see how the call is doing, and may mute others. */
  isStaff?: boolean
  onLeave: () => void
  onRefused: (error: unknown) => void
}

/** A private call; where the browser cannot keep it so, only for those who choose that. */
export function CallRoom(props: Props) {
  const encryption = useCallEncryption(props.visit, props.door)
  const [open, setOpen] = useState<OpenLine | null>(null)
  const door = useRef(props.door)
  door.current = props.door
  if (open) return <SecuredCall {...props} encryption={open} />
  if (encryption === 'unsupported') {
    return (
      <Notice tone="bad" title={t('privacy.unsupported')}>
        <p>{t('privacy.unsupported.help')}</p>
        <p>{t('privacy.unsupported.anyway')}</p>
        <Button onClick={() => setOpen(new OpenLine(() => door.current))}>{t('privacy.without')}</Button>
      </Notice>
    )
  }
  if (!encryption) return <Loading label={t('call.connecting')} />
  return <SecuredCall {...props} encryption={encryption} />
}

/** A call, from “connecting” to “left”: picture, sound, and what the person can do. */
function SecuredCall({ encryption, ...props }: Props & { encryption: CallLine }) {
  const { expected, choice, report, onStranger, onLeave, onRefused } = props
  const { mayAskForPhone = false, isStaff = false } = props
  const people = useEverybody(props.people)
  const told = props.people.map(({ participant }) => participant).join(' ')
  // Whoever was removed hears nothing more from then on, whenever their node puts them out.
  // biome-ignore lint/correctness/useExhaustiveDependencies: with each change of what the clinic tells.
  useEffect(() => void encryption.refresh(), [told])
  const { clockOffsetMs } = useClinicApi()
  const clinicMs = () => Date.now() + clockOffsetMs
  const call = useCall({ encryption, choice, clinicMs, onRefused })
  const chat = useChat(encryption, call.room)
  const name = (participant: string) => nameOf(participant, people, expected)
  const lines = useLines(encryption, call.room)
  const muting = useMuting(encryption, call, people)
  const leave = () => {
    // Whether or not the clinic hears of it, this person is gone.
    void encryption.leave().catch(() => undefined)
    onLeave()
  }
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
        <PrivacyLock
          encryption={encryption}
          other={people.length > 2 ? null : expected.name}
          onLeave={leave}
        />
        <CallStage
          expected={expected}
          people={people}
          onStranger={onStranger}
          onMute={isStaff ? muting.mute : null}
          connected={call.phase === 'connected'}
          soundOnly={call.soundOnly}
        />
        {muting.muted && <MutedNotice onSpeak={muting.speak} />}
        <CallControls
          call={call}
          chat={chat.button}
          onLeave={leave}
          help={
            <CallHelp
              report={(kind) => report({ kind, ...(call.node && { node: call.node }), lines: [...lines] })}
              mayAskForPhone={mayAskForPhone}
            >
              {isStaff && <CallLines lines={lines} nameOf={name} />}
            </CallHelp>
          }
        />
        {chat.button.open && <ChatPanel conversation={chat.conversation} nameOf={name} />}
        <RoomAudioRenderer key={call.room.localParticipant.sid} />
      </div>
    </RoomContext.Provider>
  )
}
