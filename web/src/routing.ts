import { useSyncExternalStore } from 'react'

export interface Place {
  path: string
  hash: string
}

interface PlaceState {
  arrived?: boolean
}

/** Values of a pattern's `:names` in a path, or `null` when the path is another one; a last `*` is any rest. */
export function match(pattern: string, path: string): Record<string, string> | null {
  const open = pattern.endsWith('/*')
  const wanted = parts(open ? pattern.slice(0, -2) : pattern)
  const given = parts(path)
  if (open ? wanted.length > given.length : wanted.length !== given.length) return null
  const values: Record<string, string> = {}
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? ''
    if (part.startsWith(':')) {
      const decoded = decode(value)
      if (decoded === null) return null
      values[part.slice(1)] = decoded
    } else if (part !== value) {
      return null
    }
  }
  return values
}

export function usePlace(): Place {
  const href = useSyncExternalStore(subscribe, () => location.pathname + location.hash)
  const [path = '/', hash = ''] = href.split('#', 2)
  return { path, hash }
}

export function navigate(to: string, how: 'push' | 'replace' = 'push'): void {
  const state: PlaceState = { arrived: true }
  if (how === 'push') history.pushState(state, '', to)
  else history.replaceState(state, '', to)
  dispatchEvent(new PopStateEvent('popstate'))
}

/** Whether this page was reached from another of ours, not by loading a document. */
export function arrivedByLink(): boolean {
  return (history.state as PlaceState | null)?.arrived === true
}

function subscribe(changed: () => void): () => void {
  addEventListener('popstate', changed)
  addEventListener('hashchange', changed)
  return () => {
    removeEventListener('popstate', changed)
    removeEventListener('hashchange', changed)
  }
}

function parts(path: string): string[] {
  return path.split('/').filter(Boolean)
}

function decode(part: string): string | null {
  try {
    return decodeURIComponent(part)
  } catch {
    return null
  }
}
