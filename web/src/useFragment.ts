import { useEffect, useRef, useState } from 'react'
import { navigate, usePlace } from './routing'

/**
 * A link's secret. It arrives in the fragment, which no server sees, and leaves the address bar at once, so that nobody reads
 * it over a shoulder; the tab keeps it under `key` for a reload. `onOther` is called when another one was kept before. With `stays` it is left where it is.
 */
export function useFragment(key: string, onOther?: () => void, stays = false): string | null {
  const { path, hash } = usePlace()
  const [kept, setKept] = useState(() => sessionStorage.getItem(key))
  const other = useRef(onOther)
  other.current = onOther

  useEffect(() => {
    if (!hash) return
    if (sessionStorage.getItem(key) !== hash) other.current?.()
    sessionStorage.setItem(key, hash)
    setKept(hash)
    if (!stays) navigate(path, 'replace')
  }, [key, hash, path, stays])

  return hash || kept
}
