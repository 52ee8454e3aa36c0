import { useCallback } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Guests } from '../api/types'
import { type Loaded, useLoaded } from '../api/useLoaded'

const POLL_MS = 3000

/** Whom else a visit has, and who is who in its call; asked for again all the time while `active`. */
export function useGuests(appointment: string, active: boolean): Loaded<Guests> {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () =>
      body(
        api.GET('/c/{clinic}/scheduling/appointments/{id}/guests', {
          params: { path: { clinic, id: appointment } },
        }),
      ),
    [api, clinic, appointment],
  )
  return useLoaded(active ? load : null, { everyMs: POLL_MS })
}
