import { useEffect, useState } from 'react'

/** Peak, of full scale, above which somebody is speaking, not breathing. */
const SPEECH = 0.03
const REFRESH_MS = 80
/** 85 ms at 48 kHz: no sound falls between two looks. */
const WINDOW_SAMPLES = 4096

export interface MicrophoneLevel {
  /** 0 to 1, as loud as it looks: the square root of the peak. */
  level: number
  heard: boolean
}

export function useMicrophoneLevel(stream: MediaStream | null | undefined): MicrophoneLevel {
  const [measured, setMeasured] = useState<MicrophoneLevel>({ level: 0, heard: false })

  useEffect(() => {
    setMeasured({ level: 0, heard: false })
    if (!stream || stream.getAudioTracks().length === 0) return
    const context = new AudioContext()
    const analyser = context.createAnalyser()
    analyser.fftSize = WINDOW_SAMPLES
    context.createMediaStreamSource(stream).connect(analyser)
    const samples = new Float32Array(analyser.fftSize)
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples)
      const peak = samples.reduce((highest, sample) => Math.max(highest, Math.abs(sample)), 0)
      // Falls slowly, so that the eye can follow.
      setMeasured((before) => ({
        level: Math.max(Math.min(1, Math.sqrt(peak)), before.level * 0.8),
        heard: before.heard || peak > SPEECH,
      }))
    }, REFRESH_MS)
    return () => {
      clearInterval(timer)
      void context.close()
    }
  }, [stream])

  return measured
}
