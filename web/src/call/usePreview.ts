import { useCallback, useEffect, useRef, useState } from 'react'
import { type DeviceChoice, type Opened, openDevices, stop } from './devices'

export interface Preview {
  state: 'idle' | 'asking' | 'open'
  opened: Opened | null
  cameras: MediaDeviceInfo[]
  microphones: MediaDeviceInfo[]
  open: (choice: DeviceChoice) => Promise<void>
}

/** Camera and microphone of the device check; both are released when the check is left. */
export function usePreview(): Preview {
  const [state, setState] = useState<Preview['state']>('idle')
  const [opened, setOpened] = useState<Opened | null>(null)
  const [devices, setDevices] = useState<MediaDeviceInfo[]>([])
  const current = useRef<MediaStream | null>(null)
  const turn = useRef(0)

  const open = useCallback(async (choice: DeviceChoice) => {
    const mine = ++turn.current
    setState('asking')
    // Phones open one camera at a time: the old one has to go first.
    stop(current.current)
    const result = await openDevices(choice)
    if (mine !== turn.current) {
      stop(result.stream)
      return
    }
    current.current = result.stream
    setOpened(result)
    setState('open')
    setDevices(await listDevices())
  }, [])

  useEffect(() => {
    const media = navigator.mediaDevices
    const refresh = () => void listDevices().then(setDevices)
    media?.addEventListener?.('devicechange', refresh)
    return () => {
      turn.current += 1
      media?.removeEventListener?.('devicechange', refresh)
      stop(current.current)
    }
  }, [])

  const kind = (wanted: MediaDeviceKind) =>
    devices.filter((one) => one.kind === wanted && one.deviceId !== '')
  return { state, opened, cameras: kind('videoinput'), microphones: kind('audioinput'), open }
}

async function listDevices(): Promise<MediaDeviceInfo[]> {
  try {
    return (await navigator.mediaDevices?.enumerateDevices()) ?? []
  } catch {
    return []
  }
}
