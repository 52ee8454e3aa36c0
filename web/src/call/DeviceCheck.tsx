import { useState } from 'react'
import { Button } from '../design/Button'
import { t } from '../i18n/text'
import { DevicePicker } from './DevicePicker'
import type { DeviceChoice } from './devices'
import { MicrophoneMeter } from './MicrophoneMeter'
import { SelfVideo } from './SelfVideo'
import { TroubleHelp } from './TroubleHelp'
import { playTestTone } from './testTone'
import { usePreview } from './usePreview'
import './devices.css'

interface Props {
  joining: boolean
  /** Going on is agreeing to what stands above. */
  agreeing?: boolean
  onReady: (choice: DeviceChoice) => void
}

/** First tap: the browser's own question for camera and microphone. Second tap: into the waiting room. */
export function DeviceCheck({ joining, agreeing = false, onReady }: Props) {
  const preview = usePreview()
  const [choice, setChoice] = useState<DeviceChoice>({ camera: true })

  function change(next: DeviceChoice) {
    setChoice(next)
    void preview.open(next)
  }

  if (preview.state === 'idle' || !preview.opened) {
    const asking = preview.state === 'asking'
    return (
      <div className="card stack">
        <p>{t('devices.why')}</p>
        <div className="row">
          <Button look="primary" size="large" busy={asking} onClick={() => change({ camera: true })}>
            {t('devices.turnOn')}
          </Button>
          <Button look="plain" busy={asking} onClick={() => change({ camera: false })}>
            {t('devices.audioOnly')}
          </Button>
        </div>
        {asking && <p role="status">{t('devices.asking')}</p>}
      </div>
    )
  }

  const { opened } = preview
  const seen = choice.camera && !opened.cameraTrouble
  return (
    <div className="card device-check">
      <div className="device-picture">
        {seen ? (
          <SelfVideo stream={opened.stream} label={t('devices.preview')} />
        ) : (
          <p className="device-nothing">
            {t(opened.microphoneTrouble ? 'devices.nothing' : 'devices.noPicture')}
          </p>
        )}
      </div>
      <div className="stack">
        {!opened.microphoneTrouble && <MicrophoneMeter stream={opened.stream} />}
        <TroubleHelp opened={opened} />
        {(opened.cameraTrouble || opened.microphoneTrouble) && (
          <Button busy={preview.state === 'asking'} onClick={() => change(choice)}>
            {t('devices.tryAgain')}
          </Button>
        )}
        <DevicePicker preview={preview} choice={choice} onChange={change} />
        <Button look="plain" onClick={() => void playTestTone()}>
          {t('devices.tone')}
        </Button>
        <Button
          look="primary"
          size="full"
          busy={joining}
          onClick={() => onReady({ ...choice, camera: seen })}
        >
          {t(`${agreeing ? 'agree' : 'devices'}.${seen ? 'join' : 'joinAudio'}`)}
        </Button>
      </div>
    </div>
  )
}
