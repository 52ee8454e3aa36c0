import { t } from '../i18n/text'
import { DeviceSelect } from './DeviceSelect'
import type { DeviceChoice } from './devices'
import type { Preview } from './usePreview'

interface Props {
  preview: Preview
  choice: DeviceChoice
  onChange: (choice: DeviceChoice) => void
}

/** Camera on or off, and which device where there is a choice. */
export function DevicePicker({ preview, choice, onChange }: Props) {
  const inUse = preview.opened?.stream
  return (
    <div className="stack close">
      <label className="choice">
        <input
          type="checkbox"
          checked={choice.camera}
          onChange={(event) => onChange({ ...choice, camera: event.target.checked })}
        />
        {t('devices.useCamera')}
      </label>
      {choice.camera && preview.cameras.length > 1 && (
        <DeviceSelect
          label={t('devices.camera')}
          devices={preview.cameras}
          value={choice.cameraId ?? inUse?.getVideoTracks()[0]?.getSettings().deviceId ?? ''}
          onChange={(cameraId) => onChange({ ...choice, cameraId })}
        />
      )}
      {preview.microphones.length > 1 && (
        <DeviceSelect
          label={t('devices.microphone')}
          devices={preview.microphones}
          value={choice.microphoneId ?? inUse?.getAudioTracks()[0]?.getSettings().deviceId ?? ''}
          onChange={(microphoneId) => onChange({ ...choice, microphoneId })}
        />
      )}
    </div>
  )
}
