import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug, hasStatus } from '../../api/problem'
import type { Factor } from '../../api/types'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { askPasskey, passkeysThere } from './passkeys'

type Failure = 'wrong' | 'tooMany' | 'tooLate' | 'cancelled' | 'unreachable'
type Given = { totp: string } | { recoveryCode: string } | { passkey: Record<string, never> }

interface Props {
  factors: Factor[]
  /** Whoever is signed in shows once more who they are. */
  proof?: boolean
  onSignedIn: () => Promise<void>
}

/** A passkey first, for it is one touch; then the code of an app; then a recovery code. */
export function SecondFactor({ factors, proof = false, onSignedIn }: Props) {
  const { api, clinic } = useClinicApi()
  const passkey = factors.includes('passkey') && passkeysThere()
  const [recovering, setRecovering] = useState(!passkey && !factors.includes('totp'))
  const [code, setCode] = useState('')
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<Failure | null>(null)
  const params = { path: { clinic } }

  async function attempt(work: () => Promise<Given | null>) {
    if (busy) return
    setBusy(true)
    setFailure(null)
    try {
      const given = await work()
      if (given) {
        const path = proof ? '/c/{clinic}/auth/proof' : '/c/{clinic}/auth/second-factor'
        await body<unknown>(api.POST(path, { params, body: given }))
        await onSignedIn()
      }
    } catch (error) {
      setFailure(failureOf(error))
    } finally {
      setBusy(false)
      setCode('')
    }
  }

  async function touch(): Promise<Given | null> {
    const path = proof ? '/c/{clinic}/auth/proof/passkey' : '/c/{clinic}/auth/second-factor/passkey'
    const asked = await body(api.POST(path, { params, body: {} }))
    const outcome = await askPasskey(asked)
    if ('credential' in outcome) return { passkey: outcome.credential as Record<string, never> }
    setFailure('cancelled')
    return null
  }

  function submit(event: SyntheticEvent) {
    event.preventDefault()
    void attempt(async () => (recovering ? { recoveryCode: code } : { totp: code }))
  }

  const codes = recovering || factors.includes('totp')
  return (
    <div className="stack">
      {!proof && <h2>{t('second.title')}</h2>}
      {failure && <Notice tone="bad" title={t(`second.${failure}`)} />}
      {passkey && !recovering && (
        <Button look="primary" size="full" busy={busy} onClick={() => void attempt(touch)}>
          {t('second.passkey')}
        </Button>
      )}
      {codes && (
        <form className="stack" onSubmit={submit}>
          <Field
            label={t(recovering ? 'second.recoveryCode' : 'second.code')}
            hint={t(recovering ? 'second.recoveryCode.hint' : 'second.code.hint')}
            name="code"
            autoComplete="one-time-code"
            inputMode={recovering ? 'text' : 'numeric'}
            autoCapitalize="none"
            spellCheck={false}
            required
            value={code}
            onChange={(event) => setCode(event.target.value)}
          />
          <Button type="submit" look={passkey && !recovering ? 'normal' : 'primary'} size="full" busy={busy}>
            {t(proof ? 'confirm.submit' : 'signIn.submit')}
          </Button>
        </form>
      )}
      {factors.includes('recovery-code') && (
        <Button look="plain" onClick={() => setRecovering(!recovering)}>
          {t(recovering ? 'second.other' : 'second.lost')}
        </Button>
      )}
    </div>
  )
}

function failureOf(error: unknown): Failure {
  if (hasSlug(error, 'sign-in-required', 'passkey-not-asked')) return 'tooLate'
  if (hasSlug(error, 'wrong-proof') || hasStatus(error, 401) || hasStatus(error, 422)) return 'wrong'
  return hasStatus(error, 429) ? 'tooMany' : 'unreachable'
}
