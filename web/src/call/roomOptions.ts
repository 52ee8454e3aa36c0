import type { RoomConnectOptions, RoomOptions } from 'livekit-client'
import { VideoPresets } from 'livekit-client'
import type { DeviceChoice } from './devices'

/** Layers of VP8 and plain Opus: what every node forwards and every browser of the last years decodes. */
export function roomOptions(choice: DeviceChoice): RoomOptions {
  return {
    // Our nodes speak version 1 of the signalling protocol: one peer connection, offered by the client.
    singlePeerConnection: true,
    // Each viewer gets the layer its window and its line have use for, and nobody sends what no one looks at.
    adaptiveStream: true,
    dynacast: true,
    stopLocalTrackOnUnpublish: true,
    audioCaptureDefaults: {
      echoCancellation: true,
      noiseSuppression: true,
      autoGainControl: true,
      ...(choice.microphoneId ? { deviceId: { ideal: choice.microphoneId } } : {}),
    },
    videoCaptureDefaults: {
      resolution: VideoPresets.h720.resolution,
      ...(choice.cameraId ? { deviceId: { ideal: choice.cameraId } } : {}),
    },
    publishDefaults: {
      simulcast: true,
      videoCodec: 'vp8',
      backupCodec: false,
      red: false,
      dtx: true,
    },
  }
}

/** Short enough that the next node is tried before a person gives up, long enough for a slow phone network. */
export const connectOptions: RoomConnectOptions = {
  autoSubscribe: true,
  maxRetries: 0,
  websocketTimeout: 6_000,
  peerConnectionTimeout: 10_000,
}
