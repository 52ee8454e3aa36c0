import { useCallback } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { PatientSession } from '../api/types'
import { useLoaded } from '../api/useLoaded'

/** The patient whose account is open in this browser, if whoever opened it may book. */
export function useKnownPatient(): PatientSession | null {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/patient/session', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data } = useLoaded(load)
  const may = data && (!data.proxy || data.proxy.scopes.includes('book'))
  return may ? data : null
}
