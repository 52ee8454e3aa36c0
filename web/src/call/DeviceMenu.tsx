import { useMediaDeviceSelect } from '@livekit/components-react'
import { t } from '../i18n/text'
import { DeviceSelect } from './DeviceSelect'

/** Changes camera and microphone during the call. */
export function DeviceMenu() {
  const microphone = useMediaDeviceSelect({ kind: 'audioinput' })
  const camera = useMediaDeviceSelect({ kind: 'videoinput' })
  return (
    <div className="device-menu">
      <DeviceSelect
        label={t('devices.microphone')}
        devices={microphone.devices}
        value={microphone.activeDeviceId}
        onChange={(id) => void microphone.setActiveMediaDevice(id)}
      />
      <DeviceSelect
        label={t('devices.camera')}
        devices={camera.devices}
        value={camera.activeDeviceId}
        onChange={(id) => void camera.setActiveMediaDevice(id)}
      />
    </div>
  )
}
