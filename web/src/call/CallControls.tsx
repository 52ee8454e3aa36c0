import { useLocalParticipant } from '@livekit/components-react'
import { type ReactNode, useState } from 'react'
import { Icon } from '../design/Icon'
import { t } from '../i18n/text'
import { DeviceMenu } from './DeviceMenu'
import type { Call } from './useCall'

interface Props {
  call: Call
  onLeave: () => void
  /** What is shown to somebody who asks for help. */
  help: ReactNode
}

/** Each button says what pressing it does; what is on and off is what is really sent. */
export function CallControls({ call, onLeave, help }: Props) {
  const { isMicrophoneEnabled, isCameraEnabled } = useLocalParticipant()
  const [choosing, setChoosing] = useState(false)
  const [helping, setHelping] = useState(false)
  const connected = call.phase === 'connected'
  return (
    <>
      {choosing && <DeviceMenu />}
      {helping && help}
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
        <button
          type="button"
          className="control"
          aria-expanded={helping}
          onClick={() => setHelping(!helping)}
        >
          <Icon name="help" />
          {t('call.help')}
        </button>
        <button type="button" className="control leave" onClick={onLeave}>
          <Icon name="leave" />
          {t('call.leave')}
        </button>
      </fieldset>
    </>
  )
}
