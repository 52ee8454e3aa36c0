/** Asks a media node whether it takes new calls. Fails when it does not answer, or answers something else. */
export async function probe(url: string, signal: AbortSignal): Promise<boolean> {
  const response = await fetch(probeUrl(url), { signal, credentials: 'omit', cache: 'no-store' })
  if (response.status === 204) return true
  if (response.status === 503) return false
  throw new TypeError(`probe answered ${response.status}`)
}

/** Where the node at a signalling URL answers probes. */
export function probeUrl(url: string): string {
  const probed = new URL('/probe', url)
  probed.protocol = probed.protocol === 'wss:' ? 'https:' : 'http:'
  return probed.href
}

/** Whether a media node answers at all, whatever it says. */
export async function answers(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    await fetch(probeUrl(url), { signal, credentials: 'omit', cache: 'no-store' })
    return true
  } catch {
    return false
  }
}
