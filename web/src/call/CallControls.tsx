import { useLocalParticipant } from '@livekit/components-react'
import { type ReactNode, useState } from 'react'
import { Icon } from '../design/Icon'
import { plural, t } from '../i18n/text'
import { Control } from './Control'
import { DeviceMenu } from './DeviceMenu'
import type { Call } from './useCall'

interface Props {
  call: Call
  chat: { open: boolean; unread: number; toggle: () => void }
  onLeave: () => void
  /** What is shown to somebody who asks for help. */
  help: ReactNode
}

/** Each button says what pressing it does; what is on and off is what is really sent. */
export function CallControls({ call, chat, onLeave, help }: Props) {
  const { isMicrophoneEnabled, isCameraEnabled, isScreenShareEnabled, localParticipant } =
    useLocalParticipant()
  const [choosing, setChoosing] = useState(false)
  const [helping, setHelping] = useState(false)
  const connected = call.phase === 'connected'
  return (
    <>
      {choosing && <DeviceMenu />}
      {helping && help}
      <fieldset className="controls" aria-label={t('call.controls')}>
        <Control
          icon={isMicrophoneEnabled ? 'microphone' : 'microphoneOff'}
          label={isMicrophoneEnabled ? t('call.mute') : t('call.unmute')}
          off={connected && !isMicrophoneEnabled}
          disabled={!connected}
          onClick={() => void call.setMicrophone(!isMicrophoneEnabled)}
        />
        <Control
          icon={isCameraEnabled ? 'camera' : 'cameraOff'}
          label={isCameraEnabled ? t('call.cameraStop') : t('call.cameraStart')}
          off={connected && !isCameraEnabled}
          disabled={!connected || call.soundOnly}
          onClick={() => void call.setCamera(!isCameraEnabled)}
        />
        {canShareScreen() && (
          <Control
            icon="screen"
            label={isScreenShareEnabled ? t('call.screenStop') : t('call.screenStart')}
            disabled={!connected}
            // Who thinks better of it in the browser's own dialogue shares nothing: no reason for a word.
            onClick={() =>
              void localParticipant.setScreenShareEnabled(!isScreenShareEnabled).catch(() => undefined)
            }
          />
        )}
        <Control
          icon="chat"
          label={chat.unread > 0 ? plural('chat.unread', chat.unread) : t('chat.open')}
          expanded={chat.open}
          onClick={chat.toggle}
        />
        <Control
          icon="sound"
          label={call.soundOnly ? t('call.withPictures') : t('call.soundOnly')}
          off={call.soundOnly}
          disabled={!connected}
          onClick={() => void call.setSoundOnly(!call.soundOnly)}
        />
        <Control
          icon="settings"
          label={t('call.devices')}
          expanded={choosing}
          onClick={() => setChoosing(!choosing)}
        />
        <Control icon="help" label={t('call.help')} expanded={helping} onClick={() => setHelping(!helping)} />
        <button type="button" className="control leave" onClick={onLeave}>
          <Icon name="leave" />
          {t('call.leave')}
        </button>
      </fieldset>
    </>
  )
}

/** Phones have no such thing. */
function canShareScreen(): boolean {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function'
}
