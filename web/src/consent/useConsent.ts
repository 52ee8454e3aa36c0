import { useCallback, useEffect } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { VisitConsent } from '../api/types'
import { type Loaded, useLoaded } from '../api/useLoaded'
import { language } from '../i18n/text'

export interface Consent extends Loaded<VisitConsent> {
  /** Agrees to the texts that were shown. */
  agree: (texts: readonly ConsentText[]) => Promise<void>
  withdraw: () => Promise<void>
}

export type ConsentText = VisitConsent['texts'][number]

const POLL_MS = 5000

/** What a patient agrees to before their visit, and whether they did. Whoever has arrived is told what a clinician heard. */
export function useConsent(arrived: boolean): Consent {
  const { api, clinic } = useClinicApi()
  const load = useCallback(() => {
    const params = { path: { clinic }, query: { language: language() } }
    return body(api.GET('/c/{clinic}/records/visit/consent', { params }))
  }, [api, clinic])
  const loaded = useLoaded(load)
  const { data, error, reload } = loaded
  // Each time is recorded: only who waits for it asks again, and who could not be told.
  const asksAgain = data ? arrived && data.missing : error !== null
  useEffect(() => {
    if (!asksAgain) return
    const timer = setInterval(() => void reload(), POLL_MS)
    return () => clearInterval(timer)
  }, [asksAgain, reload])
  const agree = useCallback(
    async (shown: readonly ConsentText[]) => {
      const params = { path: { clinic } }
      const texts = shown.map(({ id, sha256 }) => ({ text: id, sha256 }))
      const asking = api.POST('/c/{clinic}/records/visit/consent', { params, body: { texts } })
      // Whatever was answered: another text may be in force by now.
      await body(asking).finally(reload)
    },
    [api, clinic, reload],
  )
  const withdraw = useCallback(async () => {
    const params = { path: { clinic } }
    await body(api.POST('/c/{clinic}/records/visit/consent/withdraw', { params, body: {} })).finally(reload)
  }, [api, clinic, reload])
  return { ...loaded, agree, withdraw }
}
