import { useEffect, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import type { Session } from '../api/types'
import { hasRole } from './staff'

/** The outbox exists only in a demo network, and only for those who may read it: asked once after signing in. */
export function useOutboxThere(session: Session | null): boolean {
  const { api, clinic } = useClinicApi()
  const [there, setThere] = useState(false)

  useEffect(() => {
    let current = true
    setThere(false)
    if (!session || !hasRole(session, 'front-desk', 'clinic-admin')) return
    api
      .GET('/c/{clinic}/messages/outbox', { params: { path: { clinic } } })
      .then(({ response }) => current && setThere(response.ok))
      .catch(() => undefined)
    return () => {
      current = false
    }
  }, [api, clinic, session])

  return there
}
