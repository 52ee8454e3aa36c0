import { useEffect } from 'react'

/** Keeps a phone's screen on while its owner waits or talks; browsers give the lock back when the page is hidden. */
export function useWakeLock(active: boolean): void {
  useEffect(() => {
    if (!active || !('wakeLock' in navigator)) return
    let lock: WakeLockSentinel | null = null
    let over = false
    async function take() {
      if (document.visibilityState !== 'visible') return
      // Refused on low battery: then the screen may go dark, nothing else.
      const taken = await navigator.wakeLock.request('screen').catch(() => null)
      if (over) void taken?.release()
      else lock = taken
    }
    const retake = () => void take()
    document.addEventListener('visibilitychange', retake)
    retake()
    return () => {
      over = true
      document.removeEventListener('visibilitychange', retake)
      void lock?.release()
    }
  }, [active])
}
