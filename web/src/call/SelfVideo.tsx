import { useEffect, useRef } from 'react'

/** The person's own picture, mirrored as in a mirror; always silent. */
export function SelfVideo({ stream, label }: { stream: MediaStream | null; label: string }) {
  const video = useRef<HTMLVideoElement>(null)

  useEffect(() => {
    if (video.current) video.current.srcObject = stream
  }, [stream])

  return <video ref={video} className="self-video" autoPlay playsInline muted aria-label={label} />
}
