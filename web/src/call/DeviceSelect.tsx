import { useId } from 'react'
import { t } from '../i18n/text'

interface Props {
  label: string
  devices: MediaDeviceInfo[]
  value: string
  onChange: (id: string) => void
}

export function DeviceSelect({ label, devices, value, onChange }: Props) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} className="input" value={value} onChange={(event) => onChange(event.target.value)}>
        {devices.map((device, index) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || t('devices.unnamed', { number: index + 1 })}
          </option>
        ))}
      </select>
    </div>
  )
}
