/** Waits so long, or until the device is online again or on another network: then there is no reason to wait. */
export function pauseUntilNetworkChange(ms: number, signals = browserSignals()): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      for (const [target, event] of signals) target.removeEventListener(event, done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    for (const [target, event] of signals) target.addEventListener(event, done)
  })
}

/** Not every browser knows of connections. */
function browserSignals(): [EventTarget, string][] {
  const { connection } = navigator as Navigator & { connection?: EventTarget }
  return connection
    ? [
        [window, 'online'],
        [connection, 'change'],
      ]
    : [[window, 'online']]
}

/** Calls `changed` whenever the device says that its network is another, until `signal` aborts. */
export function onNetworkChange(changed: () => void, signal: AbortSignal): void {
  for (const [target, event] of browserSignals()) target.addEventListener(event, changed, { signal })
}
