import { useCallback, useEffect, useRef, useState } from 'react'

export interface Loaded<T> {
  data: T | null
  /** Why the latest attempt failed; `data` may still hold the one before. */
  error: unknown
  reload: () => Promise<void>
}

interface Options {
  /** Asks again this long after each answer; slower while asking fails. */
  everyMs?: number
}

/** Loads when `load` changes (wrap it in `useCallback`), and again and again when asked to. */
export function useLoaded<T>(load: (() => Promise<T>) | null, { everyMs }: Options = {}): Loaded<T> {
  const [data, setData] = useState<T | null>(null)
  const [error, setError] = useState<unknown>(null)
  const again = useRef<() => Promise<void>>(async () => {})

  useEffect(() => {
    let current = true
    let failures = 0
    let latest = 0
    let timer: ReturnType<typeof setTimeout> | undefined
    setData(null)
    setError(null)
    if (!load) return

    async function once(ask: () => Promise<T>) {
      clearTimeout(timer)
      // A reload overtakes the poll that is under way.
      const mine = ++latest
      const overtaken = () => !current || mine !== latest
      try {
        const loaded = await ask()
        if (overtaken()) return
        failures = 0
        setData(loaded)
        setError(null)
      } catch (failure) {
        if (overtaken()) return
        failures += 1
        setError(failure)
      }
      if (everyMs) timer = setTimeout(() => void once(ask), delayMs(everyMs, failures))
    }

    again.current = () => once(load)
    void once(load)
    return () => {
      current = false
      clearTimeout(timer)
      again.current = async () => {}
    }
  }, [load, everyMs])

  const reload = useCallback(() => again.current(), [])
  return { data, error, reload }
}

/** Doubles with each failure up to sixteenfold, at most half a minute. */
export function delayMs(everyMs: number, failures: number): number {
  return Math.max(everyMs, Math.min(everyMs * 2 ** Math.min(failures, 4), 30_000))
}
