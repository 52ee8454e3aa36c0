import { type SyntheticEvent, useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { useProof } from '../proof'
import { QrCode } from './QrCode'

interface Props {
  onAdded: (recoveryCodes: string[] | undefined) => Promise<void>
  onBack: () => void
}

/** Scan, then show that it worked: a secret counts only once a code of it was right. */
export function AddApp({ onAdded, onBack }: Props) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const load = useCallback(
    () =>
      withProof(() => body(api.POST('/c/{clinic}/auth/totp', { params: { path: { clinic } }, body: {} }))),
    [api, clinic, withProof],
  )
  const { data, error, reload } = useLoaded(load)
  const [code, setCode] = useState('')
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'wrong' | 'tooMany' | 'failed' | null>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    setFailure(null)
    try {
      const params = { path: { clinic } }
      const kept = await body(api.POST('/c/{clinic}/auth/totp/confirm', { params, body: { code } }))
      await onAdded(kept.recoveryCodes)
    } catch (problem) {
      setFailure(hasStatus(problem, 422) ? 'wrong' : hasStatus(problem, 429) ? 'tooMany' : 'failed')
    } finally {
      setBusy(false)
    }
  }

  if (!data) {
    return error === null ? (
      <Loading />
    ) : (
      <Notice tone="bad" title={t('factor.failed')}>
        <Button onClick={() => void reload()}>{t('page.tryAgain')}</Button>
      </Notice>
    )
  }
  return (
    <form className="stack" onSubmit={submit}>
      <p>{t('app.scan')}</p>
      <QrCode text={data.uri} />
      <details>
        <summary>{t('app.type')}</summary>
        <p className="secret">{data.secret.replace(/.{4}(?=.)/g, '$& ')}</p>
      </details>
      {failure && failure !== 'wrong' && (
        <Notice tone="bad" title={t(failure === 'tooMany' ? 'signIn.tooMany' : 'factor.failed')} />
      )}
      <Field
        label={t('second.code')}
        hint={t('app.code.hint')}
        error={failure === 'wrong' ? t('app.wrong') : undefined}
        name="code"
        autoComplete="one-time-code"
        inputMode="numeric"
        required
        value={code}
        onChange={(event) => setCode(event.target.value)}
      />
      <Button type="submit" look="primary" size="full" busy={busy}>
        {t('app.submit')}
      </Button>
      <Button look="plain" onClick={onBack}>
        {t('app.back')}
      </Button>
    </form>
  )
}
