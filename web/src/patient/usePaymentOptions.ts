import { useCallback } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { PaymentOptions } from '../api/types'
import { useLoaded } from '../api/useLoaded'

const AT_CLINIC: PaymentOptions = { card: null, atClinic: true }

/** How one can pay here; until that is known, and where it cannot be read, at the clinic. */
export function usePaymentOptions(): PaymentOptions {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/payments/options', { params: { path: { clinic } } })),
    [api, clinic],
  )
  return useLoaded(load).data ?? AT_CLINIC
}
