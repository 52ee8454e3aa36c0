import { useLocalParticipant } from '@livekit/components-react'
import { useState } from 'react'
import { Icon } from '../design/Icon'
import { plural, t } from '../i18n/text'
import { DeviceMenu } from './DeviceMenu'
import type { Call } from './useCall'

interface Props {
  call: Call
  chat: { open: boolean; unread: number; toggle: () => void }
  onLeave: () => void
}

/** Each button says what pressing it does; what is on and off is what is really sent. */
export function CallControls({ call, chat, onLeave }: Props) {
  const { isMicrophoneEnabled, isCameraEnabled, isScreenShareEnabled, localParticipant } =
    useLocalParticipant()
  const [choosing, setChoosing] = useState(false)
  const connected = call.phase === 'connected'
  return (
    <>
      {choosing && <DeviceMenu />}
      <fieldset className="controls" aria-label={t('call.controls')}>
        <button
          type="button"
          className={isMicrophoneEnabled || !connected ? 'control' : 'control off'}
          disabled={!connected}
          onClick={() => void call.setMicrophone(!isMicrophoneEnabled)}
        >
          <Icon name={isMicrophoneEnabled ? 'microphone' : 'microphoneOff'} />
          {isMicrophoneEnabled ? t('call.mute') : t('call.unmute')}
        </button>
        <button
          type="button"
          className={isCameraEnabled || !connected ? 'control' : 'control off'}
          disabled={!connected || call.soundOnly}
          onClick={() => void call.setCamera(!isCameraEnabled)}
        >
          <Icon name={isCameraEnabled ? 'camera' : 'cameraOff'} />
          {isCameraEnabled ? t('call.cameraStop') : t('call.cameraStart')}
        </button>
        {canShareScreen() && (
          <button
            type="button"
            className="control"
            disabled={!connected}
            // Who thinks better of it in the browser's own dialogue shares nothing: no reason for a word.
            onClick={() =>
              void localParticipant.setScreenShareEnabled(!isScreenShareEnabled).catch(() => undefined)
            }
          >
            <Icon name="screen" />
            {isScreenShareEnabled ? t('call.screenStop') : t('call.screenStart')}
          </button>
        )}
        <button type="button" className="control" aria-expanded={chat.open} onClick={chat.toggle}>
          <Icon name="chat" />
          {chat.unread > 0 ? plural('chat.unread', chat.unread) : t('chat.open')}
        </button>
        <button
          type="button"
          className={call.soundOnly ? 'control off' : 'control'}
          disabled={!connected}
          onClick={() => void call.setSoundOnly(!call.soundOnly)}
        >
          <Icon name="sound" />
          {call.soundOnly ? t('call.withPictures') : t('call.soundOnly')}
        </button>
        <button
          type="button"
          className="control"
          aria-expanded={choosing}
          onClick={() => setChoosing(!choosing)}
        >
          <Icon name="settings" />
          {t('call.devices')}
        </button>
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
