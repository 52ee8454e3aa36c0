import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasSlug, hasStatus } from '../api/problem'
import { Button } from '../design/Button'
import { Field } from '../design/Field'
import { Notice } from '../design/Notice'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { BirthDateField } from './BirthDateField'
import { birthDate, type Details, EMPTY } from './details'
import { useAttempt } from './useAttempt'

export type Proof = { birthDate: string } | { code: string }
type Failure = 'wrong' | 'invalid' | 'tooMany' | 'unreachable'

interface Props {
  by: 'birth-date' | 'code'
  token: string
  /** Opens the link; throws what the clinic refuses. */
  onProof: (proof: Proof) => Promise<void>
}

/** Whoever opens the link shows that they are who booked it. */
export function LinkProof({ by, token, onProof }: Props) {
  const { api, clinic } = useClinicApi()
  const [details, setDetails] = useState<Details>(EMPTY)
  const [code, setCode] = useState('')
  const [sent, setSent] = useState(false)
  const { busy, failure, setFailure, attempt } = useAttempt(failureOf)

  async function send() {
    await body(api.POST('/c/{clinic}/auth/visit-codes', { params: { path: { clinic } }, body: { token } }))
    setSent(true)
  }

  function submit(event: SyntheticEvent) {
    event.preventDefault()
    const born = birthDate(details)
    if (by === 'code') void attempt(() => onProof({ code }))
    else if (born === null) setFailure('invalid')
    else void attempt(() => onProof({ birthDate: born }))
  }

  return (
    <Page name={t('product.name')} title={t('proof.title')} narrow>
      <form className="card stack" noValidate onSubmit={submit}>
        {failure && (
          <Notice
            tone="bad"
            title={t(failure === 'unreachable' ? 'network.unreachable' : `proof.${failure}`)}
          />
        )}
        {sent && <Notice tone="good" title={t('proof.code.sent')} />}
        <p>{t(by === 'code' ? 'proof.code.body' : 'proof.birthDate.body')}</p>
        {by === 'birth-date' && <BirthDateField details={details} error={undefined} onChange={setDetails} />}
        {by === 'code' && !sent && (
          <Button look="primary" size="full" busy={busy} onClick={() => void attempt(send)}>
            {t('proof.code.send')}
          </Button>
        )}
        {by === 'code' && sent && (
          <Field
            label={t('proof.code')}
            name="code"
            autoComplete="one-time-code"
            inputMode="numeric"
            value={code}
            onChange={(event) => setCode(event.target.value)}
          />
        )}
        {(by === 'birth-date' || sent) && (
          <Button type="submit" look="primary" size="full" busy={busy}>
            {t('proof.submit')}
          </Button>
        )}
      </form>
    </Page>
  )
}

function failureOf(error: unknown): Failure {
  if (hasSlug(error, 'wrong-link-proof', 'link-proof-required')) return 'wrong'
  if (hasStatus(error, 422)) return 'invalid'
  return hasStatus(error, 429) ? 'tooMany' : 'unreachable'
}
