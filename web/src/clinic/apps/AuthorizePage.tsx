import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug } from '../../api/problem'
import type { AskedFor, FoundPatient } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { StaffPage } from '../StaffPage'
import { useStaff } from '../staff'
import { PatientPicker } from './PatientPicker'
import { ScopeList } from './ScopeList'

/** An app asks to be let in: what it wants, in words that its person can judge, and the person's answer. */
export function AuthorizePage() {
  const { api, clinic } = useClinicApi()
  const query = location.search.slice(1)
  const load = useCallback(async () => {
    const params = { path: { clinic } }
    const path = '/c/{clinic}/auth/oauth/authorization-requests'
    const review = await body(api.POST(path, { params, body: { query } }))
    // There is nothing to ask: the app is told what is wrong with what it asked for.
    if (review.redirect) location.replace(review.redirect)
    return review
  }, [api, clinic, query])
  const { data, error, reload } = useLoaded(load)
  const title = data?.request ? t('authorize.title', { name: data.request.name }) : t('authorize.loading')
  return (
    <StaffPage title={title}>
      {data?.request && <Question asked={data.request} query={query} />}
      {!data?.request && error === null && <Loading />}
      {error !== null && (
        <Notice tone="bad" title={t(refusalOf(error))}>
          {refusalOf(error) === 'network.unreachable' && (
            <Button onClick={() => void reload()}>{t('page.tryAgain')}</Button>
          )}
        </Notice>
      )}
    </StaffPage>
  )
}

function refusalOf(error: unknown) {
  if (hasSlug(error, 'unknown-app')) return 'authorize.unknownApp'
  if (hasSlug(error, 'redirect-not-registered')) return 'authorize.badAddress'
  if (hasSlug(error, 'invalid-input')) return 'authorize.badRequest'
  return 'network.unreachable'
}

function Question({ asked, query }: { asked: AskedFor; query: string }) {
  const { api, clinic } = useClinicApi()
  const { signOut } = useStaff()
  const [patient, setPatient] = useState<FoundPatient | null>(null)
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'failed' | 'launchUsed' | 'choosePatient' | null>(null)

  async function answer(allow: boolean) {
    if (busy) return
    if (allow && asked.needsPatient && !patient) return setFailure('choosePatient')
    setBusy(true)
    setFailure(null)
    try {
      const params = { path: { clinic } }
      const decision = { query, allow, patient: patient?.id ?? null }
      const path = '/c/{clinic}/auth/oauth/authorizations'
      const { redirect } = await body(api.POST(path, { params, body: decision }))
      if (redirect) location.replace(redirect)
    } catch (error) {
      setFailure(hasSlug(error, 'launch-used') ? 'launchUsed' : 'failed')
      setBusy(false)
    }
  }

  if (asked.signInAgain) {
    return (
      <Notice tone="warm" title={t('authorize.signInAgain', { name: asked.name })}>
        <Button onClick={() => void signOut()}>{t('staff.signOut')}</Button>
      </Notice>
    )
  }
  return (
    <div className="card stack">
      <p>{t('authorize.body', { name: asked.name, host: asked.host })}</p>
      <ScopeList asked={asked} />
      {asked.needsPatient && <PatientPicker chosen={patient} onChoose={setPatient} />}
      {failure && <Notice tone="bad" title={t(`authorize.${failure}`)} />}
      <div className="row">
        <Button look="primary" busy={busy} onClick={() => void answer(true)}>
          {t('authorize.allow')}
        </Button>
        <Button busy={busy} onClick={() => void answer(false)}>
          {t('authorize.deny')}
        </Button>
      </div>
      <p className="soft">{t('authorize.later')}</p>
    </div>
  )
}
