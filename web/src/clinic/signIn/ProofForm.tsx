import { type SyntheticEvent, useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import type { Factor } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { SecondFactor } from './SecondFactor'

/** The second factor of whoever has one, the password of whoever has none. */
export function ProofForm({ onGiven }: { onGiven: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/factors', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error } = useLoaded(load)
  if (!data) return error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />
  const factors: Factor[] = []
  if (data.passkeys.length > 0) factors.push('passkey')
  if (data.totpSince) factors.push('totp')
  if (factors.length === 0) return <PasswordProof onGiven={onGiven} />
  if (data.recoveryCodesLeft > 0) factors.push('recovery-code')
  return <SecondFactor factors={factors} proof onSignedIn={onGiven} />
}

function PasswordProof({ onGiven }: { onGiven: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const [password, setPassword] = useState('')
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'wrong' | 'tooMany' | 'unreachable' | null>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    setFailure(null)
    try {
      await body(api.POST('/c/{clinic}/auth/proof', { params: { path: { clinic } }, body: { password } }))
      await onGiven()
    } catch (error) {
      if (hasStatus(error, 403) || hasStatus(error, 422)) setFailure('wrong')
      else setFailure(hasStatus(error, 429) ? 'tooMany' : 'unreachable')
    } finally {
      setBusy(false)
    }
  }

  return (
    <form className="stack" onSubmit={submit}>
      {failure && (
        <Notice tone="bad" title={t(failure === 'wrong' ? 'password.wrong' : `signIn.${failure}`)} />
      )}
      <Field
        label={t('password.current')}
        name="current-password"
        type="password"
        autoComplete="current-password"
        required
        value={password}
        onChange={(event) => setPassword(event.target.value)}
      />
      <Button type="submit" look="primary" size="full" busy={busy}>
        {t('confirm.submit')}
      </Button>
    </form>
  )
}
