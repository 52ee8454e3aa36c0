import { useEffect, useMemo, useSyncExternalStore } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { bodyAndTag } from '../api/client'
import { hasSlug, hasStatus } from '../api/problem'
import type { VisitIntake } from '../api/types'
import { type Draft, IntakeKeeper, type IntakeState, type Kept } from './IntakeKeeper'
import { answersOf } from './rules'

export interface Intake {
  keeper: IntakeKeeper
  state: IntakeState
}

/** What is asked before a visit, and the answers, kept safe while this page is open. */
export function useIntake(visit: string | null): Intake {
  const { api, clinic } = useClinicApi()
  const keeper = useMemo(() => {
    const path = { clinic }
    const key = `locum.intake.${clinic}.${visit}`
    return new IntakeKeeper({
      load: async () => {
        const params = { path }
        return kept(await bodyAndTag(api.GET('/c/{clinic}/records/visit/intake', { params })))
      },
      save: async (response, etag) => {
        const params = { path, header: { 'If-Match': etag } }
        const saving = api.PUT('/c/{clinic}/records/visit/intake', { params, body: response })
        return kept(await bodyAndTag(saving))
      },
      draft: () => JSON.parse(sessionStorage.getItem(key) ?? 'null') as Draft | null,
      keepDraft: (draft) =>
        draft ? sessionStorage.setItem(key, JSON.stringify(draft)) : sessionStorage.removeItem(key),
      isOvertaken: (error) => hasStatus(error, 412) || hasSlug(error, 'questionnaire-changed'),
      isClosed: (error) => hasSlug(error, 'intake-closed') || hasStatus(error, 410) || hasStatus(error, 404),
    })
  }, [api, clinic, visit])
  const state = useSyncExternalStore(keeper.subscribe, keeper.state)
  useEffect(() => (visit ? keeper.open() : undefined), [keeper, visit])
  useEffect(() => {
    // A phone that is put away may not come back to this page.
    const leaving = () => document.visibilityState === 'hidden' && void keeper.flush()
    document.addEventListener('visibilitychange', leaving)
    return () => document.removeEventListener('visibilitychange', leaving)
  }, [keeper])
  return { keeper, state }
}

function kept({ data, etag }: { data: VisitIntake; etag: string }): Kept {
  return {
    questionnaire: data.questionnaire,
    canonical: data.canonical ?? '',
    required: data.required,
    closed: data.closed,
    done: data.response?.status === 'completed',
    answers: answersOf(data.response?.item),
    etag,
  }
}
