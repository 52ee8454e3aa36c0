import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import type { SignInStep } from '../../api/types'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { Page } from '../../design/Page'
import { t } from '../../i18n/text'
import { useFragment } from '../../useFragment'
import { NextStep } from './NextStep'

type Failure = 'link' | 'weak' | 'unreachable'

/** Somebody new, or who begins anew, chooses a password by the link that an administrator gave them. */
export function EnrolPage({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const token = useFragment(`locum.enrolment.${clinic}`)
  const [password, setPassword] = useState('')
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<Failure | null>(null)
  const [step, setStep] = useState<SignInStep | null>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy || !token) return
    setBusy(true)
    setFailure(null)
    try {
      const params = { path: { clinic } }
      const answer = await body(
        api.POST('/c/{clinic}/auth/enrolments', { params, body: { token, password } }),
      )
      if (answer.next) setStep(answer)
      else await onSignedIn()
    } catch (error) {
      setFailure(hasStatus(error, 404) ? 'link' : hasStatus(error, 422) ? 'weak' : 'unreachable')
    } finally {
      setBusy(false)
    }
  }

  return (
    <Page name={t('product.name')} title={t('join.title')} narrow>
      <div className="card">
        {step ? (
          <NextStep step={step} onSignedIn={onSignedIn} onStartOver={() => void onSignedIn()} />
        ) : (
          <form className="stack" onSubmit={submit}>
            {(failure === 'link' || !token) && <Notice tone="bad" title={t('join.link')} />}
            {failure === 'unreachable' && <Notice tone="bad" title={t('signIn.unreachable')} />}
            <p className="soft">{t('join.body')}</p>
            <Field
              label={t('password.new')}
              hint={t('password.hint')}
              error={failure === 'weak' ? t('password.weak') : undefined}
              name="new-password"
              type="password"
              autoComplete="new-password"
              required
              value={password}
              onChange={(event) => setPassword(event.target.value)}
            />
            <Button type="submit" look="primary" size="full" busy={busy}>
              {t('join.submit')}
            </Button>
          </form>
        )}
      </div>
    </Page>
  )
}
