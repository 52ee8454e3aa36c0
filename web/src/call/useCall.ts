import { Room, RoomEvent } from 'livekit-client'
import { useCallback, useEffect, useRef, useState } from 'react'
import { isRefusal } from '../api/problem'
import { type DeviceChoice, type Trouble, troubleOf } from './devices'
import { type Grant, keepConnected, type Phase } from './keepConnected'
import { pauseUntilNetworkChange } from './networkChange'
import { probe } from './probe'
import { type MediaNode, race, type Track } from './race'
import { connectOptions, roomOptions } from './roomOptions'

export interface Call {
  room: Room
  phase: Phase
  cameraTrouble: Trouble | null
  microphoneTrouble: Trouble | null
  setCamera: (on: boolean) => Promise<void>
  setMicrophone: (on: boolean) => Promise<void>
  retry: () => void
}

const track: Track = {
  probe,
  nowMs: () => performance.now(),
  pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
}

interface Options {
  join: (nearest?: string[]) => Promise<Grant>
  choice: DeviceChoice
  /** The clinic says that there is no call to be in (any more). */
  onRefused: (error: unknown) => void
}

/** One person's line into a call: connects, publishes, comes back after a loss, and lets go of everything on leaving. */
export function useCall({ join, choice, onRefused }: Options): Call {
  const [room] = useState(() => new Room(roomOptions(choice)))
  const [phase, setPhase] = useState<Phase>('joining')
  const [cameraTrouble, setCameraTrouble] = useState<Trouble | null>(null)
  const [microphoneTrouble, setMicrophoneTrouble] = useState<Trouble | null>(null)
  const [attempt, setAttempt] = useState(0)
  // What the person last asked for: it must survive a reconnect, and a muted person must come back muted.
  const wanted = useRef({ camera: choice.camera, microphone: true })
  const outside = useRef({ join, onRefused })
  outside.current = { join, onRefused }

  const publish = useCallback(async () => {
    const { camera, microphone } = wanted.current
    const me = room.localParticipant
    if (camera && microphone) {
      // One browser prompt instead of two; when it fails, each alone tells which device was the reason.
      await me.enableCameraAndMicrophone().catch(() => undefined)
    }
    setMicrophoneTrouble(await troubleWith(() => me.setMicrophoneEnabled(microphone)))
    setCameraTrouble(await troubleWith(() => me.setCameraEnabled(camera)))
  }, [room])

  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt begins the whole line anew.
  useEffect(() => {
    const stop = new AbortController()
    const line = {
      join: (nearest?: string[]) => outside.current.join(nearest),
      race: (nodes: MediaNode[]) => race(nodes, track),
      connect: (url: string, token: string) => room.connect(url, token, connectOptions),
      lost: () => disconnected(room, stop.signal),
      isFinal: isRefusal,
      say: (next: Phase) => {
        setPhase(next)
        if (next === 'connected') void publish()
      },
      pause: pauseUntilNetworkChange,
    }
    keepConnected(line, stop.signal).catch((error) => {
      setPhase('failed')
      outside.current.onRefused(error)
    })
    return () => {
      stop.abort()
      void room.disconnect(true)
    }
  }, [room, publish, attempt])

  const setCamera = useCallback(
    async (on: boolean) => {
      wanted.current.camera = on
      setCameraTrouble(await troubleWith(() => room.localParticipant.setCameraEnabled(on)))
    },
    [room],
  )
  const setMicrophone = useCallback(
    async (on: boolean) => {
      wanted.current.microphone = on
      setMicrophoneTrouble(await troubleWith(() => room.localParticipant.setMicrophoneEnabled(on)))
    },
    [room],
  )
  const retry = useCallback(() => setAttempt((before) => before + 1), [])

  return { room, phase, cameraTrouble, microphoneTrouble, setCamera, setMicrophone, retry }
}

function disconnected(room: Room, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    room.once(RoomEvent.Disconnected, () => resolve())
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function troubleWith(action: () => Promise<unknown>): Promise<Trouble | null> {
  try {
    await action()
    return null
  } catch (error) {
    return troubleOf(error)
  }
}
