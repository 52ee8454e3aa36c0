import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug } from '../../api/problem'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { plural, t } from '../../i18n/text'
import { dayOf, dayText, readerZone } from '../../i18n/time'
import { useProof } from '../proof'
import { StaffPage } from '../StaffPage'
import { AddFactor } from './AddFactor'
import { GrantList } from './GrantList'
import { IdentityList } from './IdentityList'
import { PasswordForm } from './PasswordForm'
import { RecoveryCodes } from './RecoveryCodes'
import { SessionList } from './SessionList'

/** One's own second factors, sessions and password. */
export function SecurityPage() {
  return (
    <StaffPage title={t('security.title')}>
      <FactorList />
      <SessionList />
      <IdentityList />
      <GrantList />
      <PasswordForm />
    </StaffPage>
  )
}

function FactorList() {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const params = { path: { clinic } }
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/factors', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)
  const [adding, setAdding] = useState(false)
  const [codes, setCodes] = useState<string[] | null>(null)
  const [failure, setFailure] = useState<'last' | 'failed' | null>(null)

  async function attempt(work: () => Promise<unknown>) {
    setFailure(null)
    try {
      await withProof(work)
    } catch (problem) {
      setFailure(hasSlug(problem, 'last-factor') ? 'last' : 'failed')
    }
    await reload()
  }

  const removePasskey = (id: string) =>
    attempt(() => body(api.DELETE('/c/{clinic}/auth/passkeys/{id}', { params: { path: { clinic, id } } })))
  const removeApp = () => attempt(() => body(api.DELETE('/c/{clinic}/auth/totp', { params })))
  const renewCodes = () =>
    attempt(async () => {
      const made = await body(api.POST('/c/{clinic}/auth/recovery-codes', { params, body: {} }))
      setCodes(made.recoveryCodes)
    })

  async function added() {
    setAdding(false)
    await reload()
  }

  return (
    <section className="card stack" aria-labelledby="factors">
      <h2 id="factors">{t('factor.title')}</h2>
      {failure && <Notice tone="bad" title={t(`factor.${failure}`)} />}
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data && (
        <ul className="rows">
          {data.passkeys.map((passkey) => (
            <li key={passkey.id} className="row spread">
              <span>
                <strong>{passkey.name}</strong>{' '}
                <span className="soft">{t('factor.passkeySince', { day: day(passkey.createdAt) })}</span>
              </span>
              <Button
                aria-label={t('factor.removeNamed', { name: passkey.name })}
                onClick={() => void removePasskey(passkey.id)}
              >
                {t('factor.remove')}
              </Button>
            </li>
          ))}
          {data.totpSince && (
            <li className="row spread">
              <span>
                <strong>{t('factor.app')}</strong>{' '}
                <span className="soft">{t('factor.since', { day: day(data.totpSince) })}</span>
              </span>
              <Button
                aria-label={t('factor.removeNamed', { name: t('factor.app') })}
                onClick={() => void removeApp()}
              >
                {t('factor.remove')}
              </Button>
            </li>
          )}
          <li className="row spread">
            <span>{plural('recovery.left', data.recoveryCodesLeft)}</span>
            <Button onClick={() => void renewCodes()}>{t('recovery.renew')}</Button>
          </li>
        </ul>
      )}
      {codes && <RecoveryCodes codes={codes} onKept={async () => setCodes(null)} />}
      {adding && <AddFactor hasApp={Boolean(data?.totpSince)} onAdded={added} />}
      {!adding && data && (
        <div className="row">
          <Button onClick={() => setAdding(true)}>{t('factor.add')}</Button>
        </div>
      )}
    </section>
  )
}

function day(instant: string): string {
  return dayText(dayOf(instant, readerZone()))
}
