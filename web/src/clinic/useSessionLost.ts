import { useCallback, useEffect, useState } from 'react'
import type { Api } from '../api/client'

/** Whether any request of the staff's pages was answered “not signed in” since the last sign-in. */
export function useSessionLost(api: Api): { lost: boolean; regained: () => void } {
  const [lost, setLost] = useState(false)

  useEffect(() => {
    const watch = {
      onResponse({ response, schemaPath }: { response: Response; schemaPath: string }) {
        if (response.status === 401 && !schemaPath.includes('/auth/')) setLost(true)
        return undefined
      },
    }
    api.use(watch)
    return () => api.eject(watch)
  }, [api])

  const regained = useCallback(() => setLost(false), [])
  return { lost, regained }
}
