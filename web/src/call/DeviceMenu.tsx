import { useMediaDeviceSelect } from '@livekit/components-react'
import { useId } from 'react'
import { t } from '../i18n/text'

/** Changes camera and microphone during the call. */
export function DeviceMenu() {
  return (
    <div className="device-menu">
      <Choice kind="audioinput" label={t('devices.microphone')} />
      <Choice kind="videoinput" label={t('devices.camera')} />
    </div>
  )
}

function Choice({ kind, label }: { kind: 'audioinput' | 'videoinput'; label: string }) {
  const id = useId()
  const { devices, activeDeviceId, setActiveMediaDevice } = useMediaDeviceSelect({ kind })
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        className="input"
        value={activeDeviceId}
        onChange={(event) => void setActiveMediaDevice(event.target.value)}
      >
        {devices.map((device, index) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || t('devices.unnamed', { number: index + 1 })}
          </option>
        ))}
      </select>
    </div>
  )
}
