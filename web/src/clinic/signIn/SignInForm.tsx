import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug, hasStatus } from '../../api/problem'
import type { SignInStep } from '../../api/types'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { NextStep } from './NextStep'

type Failure = 'wrong' | 'tooMany' | 'unreachable' | 'expired' | 'weak'

export function SignInForm({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const [username, setUsername] = useState('')
  const [password, setPassword] = useState('')
  // Only where the clinic wants another password by now.
  const [chosen, setChosen] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<Failure | null>(null)
  const [step, setStep] = useState<SignInStep | null>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    setFailure(null)
    try {
      const params = { path: { clinic } }
      const given = { username, password, ...(chosen && { newPassword: chosen }) }
      const answer = await body(api.POST('/c/{clinic}/auth/sessions', { params, body: given }))
      if (answer.next) setStep(answer)
      else await onSignedIn()
    } catch (error) {
      const failed = failureOf(error)
      if (failed === 'expired') setChosen('')
      setFailure(failed === 'wrong' && chosen && hasStatus(error, 422) ? 'weak' : failed)
    } finally {
      setBusy(false)
    }
  }

  function startOver() {
    setPassword('')
    setChosen(null)
    setStep(null)
  }

  if (step) return <NextStep step={step} onSignedIn={onSignedIn} onStartOver={startOver} />
  return (
    <form className="stack" onSubmit={submit}>
      {failure && failure !== 'weak' && <Notice tone="bad" title={t(`signIn.${failure}`)} />}
      <Field
        label={t('signIn.username')}
        name="username"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        required
        value={username}
        onChange={(event) => setUsername(event.target.value)}
      />
      <Field
        label={t('signIn.password')}
        name="password"
        type="password"
        autoComplete="current-password"
        required
        value={password}
        onChange={(event) => setPassword(event.target.value)}
      />
      {chosen !== null && (
        <Field
          label={t('password.new')}
          hint={t('password.hint')}
          error={failure === 'weak' ? t('password.weak') : undefined}
          name="new-password"
          type="password"
          autoComplete="new-password"
          required
          value={chosen}
          onChange={(event) => setChosen(event.target.value)}
        />
      )}
      <Button type="submit" look="primary" size="full" busy={busy}>
        {busy ? t('signIn.busy') : t('signIn.submit')}
      </Button>
    </form>
  )
}

function failureOf(error: unknown): Failure {
  if (hasSlug(error, 'password-expired')) return 'expired'
  if (hasStatus(error, 401) || hasStatus(error, 422)) return 'wrong'
  return hasStatus(error, 429) ? 'tooMany' : 'unreachable'
}
