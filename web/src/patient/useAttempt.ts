import { useState } from 'react'

export interface Attempt<Failure> {
  busy: boolean
  failure: Failure | null
  setFailure: (failure: Failure | null) => void
  /** Does the work, unless something is under way; what it throws becomes the failure. */
  attempt: (work: () => Promise<void>) => Promise<void>
}

/** One thing at a time that may be refused. */
export function useAttempt<Failure>(failureOf: (error: unknown) => Failure): Attempt<Failure> {
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<Failure | null>(null)

  async function attempt(work: () => Promise<void>) {
    if (busy) return
    setBusy(true)
    setFailure(null)
    try {
      await work()
    } catch (error) {
      setFailure(() => failureOf(error))
    } finally {
      setBusy(false)
    }
  }

  return { busy, failure, setFailure, attempt }
}
