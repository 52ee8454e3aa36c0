import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug, hasStatus } from '../../api/problem'
import { askPasskey, passkeysThere } from '../../clinic/signIn/passkeys'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { Page } from '../../design/Page'
import { t } from '../../i18n/text'
import { BirthDateField } from '../BirthDateField'
import { birthDate, type Details, EMPTY } from '../details'
import { useAttempt } from '../useAttempt'

type Failure = 'wrong' | 'unknownPasskey' | 'cancelled' | 'tooMany' | 'failed' | 'email' | 'birthDate'

/** A passkey first; else a code by mail, which also opens the account for the first time. */
export function PatientSignIn({ onSignedIn }: { onSignedIn: () => Promise<void> }) {
  const { api, clinic } = useClinicApi()
  const [details, setDetails] = useState<Details>(EMPTY)
  const [code, setCode] = useState('')
  const [sent, setSent] = useState(false)
  const { busy, failure, setFailure, attempt } = useAttempt(failureOf)
  const params = { path: { clinic } }

  async function touch() {
    const asked = await body(api.POST('/c/{clinic}/auth/patient/passkey-requests', { params, body: {} }))
    const outcome = await askPasskey(asked)
    if ('failure' in outcome) return setFailure('cancelled')
    const credential = outcome.credential as Record<string, never>
    const answer = { request: asked.request, credential }
    await body(api.POST('/c/{clinic}/auth/patient/passkey-sessions', { params, body: answer }))
    await onSignedIn()
  }

  async function send() {
    const email = details.email.trim()
    await body(api.POST('/c/{clinic}/auth/patient/codes', { params, body: { email } }))
    setSent(true)
  }

  async function enter() {
    const born = birthDate(details)
    if (born === null) return setFailure('birthDate')
    const given = { email: details.email.trim(), birthDate: born, code }
    await body(api.POST('/c/{clinic}/auth/patient/sessions', { params, body: given }))
    await onSignedIn()
  }

  function submit(event: SyntheticEvent) {
    event.preventDefault()
    void attempt(sent ? enter : send)
  }

  function startOver() {
    setSent(false)
    setCode('')
    setFailure(null)
  }

  const told = failure !== null && failure !== 'email' && failure !== 'birthDate'
  return (
    <Page name={t('product.name')} title={t('account.signIn')} narrow>
      <p>{t('account.signIn.body')}</p>
      {told && <Notice tone="bad" title={t(`account.${failure}`)} />}
      {sent && !told && <Notice tone="good" title={t('account.sent')} />}
      {!sent && passkeysThere() && (
        <Button look="primary" size="full" busy={busy} onClick={() => void attempt(touch)}>
          {t('account.passkey')}
        </Button>
      )}
      <form className="card stack" noValidate onSubmit={submit} aria-labelledby="by-mail">
        <h2 id="by-mail">{t('account.byMail')}</h2>
        {!sent && (
          <Field
            label={t('details.email')}
            hint={t('account.email.hint')}
            error={failure === 'email' ? t('details.error.email') : undefined}
            type="email"
            autoComplete="email"
            value={details.email}
            onChange={(event) => setDetails({ ...details, email: event.target.value })}
          />
        )}
        {sent && (
          <>
            <Field
              label={t('account.code')}
              name="code"
              autoComplete="one-time-code"
              inputMode="numeric"
              value={code}
              onChange={(event) => setCode(event.target.value)}
            />
            <BirthDateField
              details={details}
              error={failure === 'birthDate' ? t('details.error.birthDate') : undefined}
              onChange={setDetails}
            />
          </>
        )}
        <Button type="submit" look={sent ? 'primary' : 'normal'} size="full" busy={busy}>
          {t(sent ? 'account.enter' : 'account.send')}
        </Button>
        {sent && (
          <Button look="plain" onClick={startOver}>
            {t('account.again')}
          </Button>
        )}
      </form>
    </Page>
  )

  function failureOf(error: unknown): Failure {
    if (hasSlug(error, 'wrong-passkey', 'passkey-not-asked')) return 'unknownPasskey'
    if (hasStatus(error, 422)) return sent ? 'wrong' : 'email'
    if (hasStatus(error, 401)) return 'wrong'
    return hasStatus(error, 429) ? 'tooMany' : 'failed'
  }
}
