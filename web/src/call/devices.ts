/** Which devices a person joins with. */
export interface DeviceChoice {
  camera: boolean
  cameraId?: string
  microphoneId?: string
}

export type Trouble = 'denied' | 'missing' | 'busy' | 'unsupported' | 'failed'

/** What opening the devices came to: what could be opened is open, for the rest there is a reason. */
export interface Opened {
  stream: MediaStream | null
  cameraTrouble: Trouble | null
  microphoneTrouble: Trouble | null
}

type Ask = (constraints: MediaStreamConstraints) => Promise<MediaStream>

export const CAMERA: MediaTrackConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
  facingMode: 'user',
}

/** Asks for both at once, so that there is one prompt, and for the microphone alone when the camera fails. */
export async function openDevices(
  choice: DeviceChoice,
  ask: Ask | undefined = browserAsk(),
): Promise<Opened> {
  if (!ask) return { stream: null, cameraTrouble: 'unsupported', microphoneTrouble: 'unsupported' }
  const audio = device(choice.microphoneId)
  const video = { ...CAMERA, ...device(choice.cameraId) }
  if (!choice.camera) return openMicrophone(ask, audio, null)
  try {
    return { stream: await ask({ audio, video }), cameraTrouble: null, microphoneTrouble: null }
  } catch (error) {
    const opened = await openMicrophone(ask, audio, troubleOf(error))
    // The microphone was what failed: the camera may still work.
    if (opened.microphoneTrouble && opened.microphoneTrouble !== 'denied') {
      return openCamera(ask, video, opened.microphoneTrouble)
    }
    return opened
  }
}

export function troubleOf(error: unknown): Trouble {
  const name = error instanceof Error || error instanceof DOMException ? error.name : ''
  if (name === 'NotAllowedError' || name === 'SecurityError') return 'denied'
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'missing'
  if (name === 'NotReadableError' || name === 'AbortError') return 'busy'
  return 'failed'
}

export function stop(stream: MediaStream | null | undefined): void {
  for (const track of stream?.getTracks() ?? []) track.stop()
}

async function openMicrophone(
  ask: Ask,
  audio: MediaTrackConstraints,
  cameraTrouble: Trouble | null,
): Promise<Opened> {
  try {
    return { stream: await ask({ audio }), cameraTrouble, microphoneTrouble: null }
  } catch (error) {
    return { stream: null, cameraTrouble, microphoneTrouble: troubleOf(error) }
  }
}

async function openCamera(
  ask: Ask,
  video: MediaTrackConstraints,
  microphoneTrouble: Trouble,
): Promise<Opened> {
  try {
    return { stream: await ask({ video }), cameraTrouble: null, microphoneTrouble }
  } catch (error) {
    return { stream: null, cameraTrouble: troubleOf(error), microphoneTrouble }
  }
}

/** `ideal`, not `exact`: a headset that was unplugged since must not keep anybody out. */
function device(id: string | undefined): MediaTrackConstraints {
  return id ? { deviceId: { ideal: id } } : {}
}

function browserAsk(): Ask | undefined {
  const media = globalThis.navigator?.mediaDevices
  return media?.getUserMedia ? (constraints) => media.getUserMedia(constraints) : undefined
}
