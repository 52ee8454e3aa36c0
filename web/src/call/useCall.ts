import { ConnectionState, Track as MediaTrack, Room } from 'livekit-client'
import {
  enterRoom,
  keepConnected,
  LiveKitStay,
  type MediaNode,
  type Phase,
  type Place,
  pauseUntilNetworkChange,
  probe,
  race,
  type Track,
} from 'locum-call'
import { useCallback, useEffect, useRef, useState } from 'react'
import { isLastWord } from '../api/problem'
import { type DeviceChoice, type Trouble, troubleOf } from './devices'
import type { CallLine } from './encryption/CallLine'
import { LiveRooms } from './liveRooms'
import { connectOptions, roomOptions } from './roomOptions'

export interface Call {
  /** The room that the person sees. Another one after each move. */
  room: Room
  /** Id of the media node that the person is at. */
  node: string | null
  phase: Phase
  cameraTrouble: Trouble | null
  microphoneTrouble: Trouble | null
  setCamera: (on: boolean) => Promise<void>
  setMicrophone: (on: boolean) => Promise<void>
  /** No pictures in either direction, for a line that carries no more than sound. */
  soundOnly: boolean
  setSoundOnly: (on: boolean) => Promise<void>
  retry: () => void
}

const track: Track = {
  probe,
  nowMs: () => performance.now(),
  pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
}

interface Options {
  encryption: CallLine
  choice: DeviceChoice
  /** Milliseconds since 1970 by the clinic's clock. */
  clinicMs: () => number
  /** The clinic says that there is no call to be in (any more). */
  onRefused: (error: unknown) => void
}

/** One person's line into a call: connects, publishes, moves with the call, and lets go of everything on leaving. */
export function useCall({ encryption, choice, clinicMs, onRefused }: Options): Call {
  // Nothing connects to this one: it is what there is to see before the first.
  const [room, setRoom] = useState(() => new Room())
  const [node, setNode] = useState<string | null>(null)
  const [phase, setPhase] = useState<Phase>('joining')
  const [cameraTrouble, setCameraTrouble] = useState<Trouble | null>(null)
  const [microphoneTrouble, setMicrophoneTrouble] = useState<Trouble | null>(null)
  const [soundOnly, keepSoundOnly] = useState(false)
  const [attempt, setAttempt] = useState(0)
  // What the person last asked for: it must survive a move, and a muted person must arrive muted.
  const wanted = useRef({ camera: choice.camera, microphone: true })
  const [rooms] = useState(() => new LiveRooms())
  const outside = useRef({ clinicMs, onRefused })
  outside.current = { clinicMs, onRefused }

  const publish = useCallback(async (into: Room) => {
    if (into.state === ConnectionState.Disconnected) return
    const { camera, microphone } = wanted.current
    const me = into.localParticipant
    const isNew = me.trackPublications.size === 0
    if (isNew && camera && microphone) {
      // One browser prompt instead of two; when it fails, each alone tells which device was the reason.
      await me.enableCameraAndMicrophone().catch(() => undefined)
    }
    setMicrophoneTrouble(await troubleWith(() => me.setMicrophoneEnabled(microphone)))
    setCameraTrouble(await troubleWith(() => me.setCameraEnabled(camera)))
  }, [])

  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt begins the whole line anew.
  useEffect(() => {
    const stop = new AbortController()
    const connect = async ({ node, url, token }: Place, before: LiveKitStay | null, signal: AbortSignal) => {
      const next = encryption.room(roomOptions(before ? devicesOf(before.room, choice) : choice))
      let pass: string
      try {
        pass = await encryption.pass(url, token)
        await enterRoom(next, { url, token: pass, connect: connectOptions }, signal)
      } catch (error) {
        encryption.release(next)
        throw error
      }
      rooms.add(next, before?.tracks())
      const carry = async () => {
        await encryption.ready(next)
        if (next.state === ConnectionState.Disconnected) return
        await rooms.publish(next)
        await publish(next)
      }
      void carry()
      return new LiveKitStay(next, node, url, pass !== token)
    }
    const line = {
      join: () => encryption.join(),
      race: (nodes: MediaNode[]) => race(nodes, track),
      connect,
      show: (stay: LiveKitStay) => {
        setRoom(stay.room)
        setNode(stay.node)
      },
      isFinal: isLastWord,
      say: setPhase,
      nowMs: track.nowMs,
      clinicMs: () => outside.current.clinicMs(),
      pause: pauseUntilNetworkChange,
    }
    keepConnected(line, stop.signal).catch((error) => {
      setPhase('failed')
      outside.current.onRefused(error)
    })
    return () => stop.abort()
  }, [publish, encryption, attempt])

  const setCamera = useCallback(
    async (on: boolean) => {
      wanted.current.camera = on
      setCameraTrouble(await troubleWith(() => rooms.set(MediaTrack.Source.Camera, on)))
    },
    [rooms],
  )
  const setMicrophone = useCallback(
    async (on: boolean) => {
      wanted.current.microphone = on
      setMicrophoneTrouble(await troubleWith(() => rooms.set(MediaTrack.Source.Microphone, on)))
    },
    [rooms],
  )
  const cameraBefore = useRef(false)
  const setSoundOnly = useCallback(
    async (on: boolean) => {
      keepSoundOnly(on)
      rooms.receivePictures(!on)
      if (on) cameraBefore.current = wanted.current.camera
      await setCamera(!on && cameraBefore.current)
    },
    [rooms, setCamera],
  )
  const retry = useCallback(() => setAttempt((before) => before + 1), [])

  return {
    room,
    node,
    phase,
    cameraTrouble,
    microphoneTrouble,
    setCamera,
    setMicrophone,
    soundOnly,
    setSoundOnly,
    retry,
  }
}

/** The devices in use now: they may have been changed during the call. */
function devicesOf(room: Room, choice: DeviceChoice): DeviceChoice {
  const cameraId = room.getActiveDevice('videoinput') ?? choice.cameraId
  const microphoneId = room.getActiveDevice('audioinput') ?? choice.microphoneId
  return { camera: choice.camera, ...(cameraId && { cameraId }), ...(microphoneId && { microphoneId }) }
}

async function troubleWith(action: () => Promise<unknown>): Promise<Trouble | null> {
  try {
    await action()
    return null
  } catch (error) {
    return troubleOf(error)
  }
}
