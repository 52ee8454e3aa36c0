import { useEffect, useState } from 'react'
import { navigate, usePlace } from '../../routing'

/** A link's secret: it comes in the fragment, leaves the address bar at once, and outlives a reload in this tab. */
export function useFragment(key: string): string | null {
  const { path, hash } = usePlace()
  const [kept, setKept] = useState(() => sessionStorage.getItem(key))

  useEffect(() => {
    if (!hash) return
    sessionStorage.setItem(key, hash)
    setKept(hash)
    navigate(path, 'replace')
  }, [key, hash, path])

  return hash || kept
}
