import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { hasStatus } from '../api/problem'
import { Button } from '../design/Button'
import { Field } from '../design/Field'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'

type Outcome = 'sent' | 'address' | 'failed'

/** Whoever has lost the link to a visit gets a new one by mail; nobody learns here whose addresses the clinic knows. */
export function LostLink() {
  const { api, clinic } = useClinicApi()
  const [email, setEmail] = useState('')
  const [busy, setBusy] = useState(false)
  const [outcome, setOutcome] = useState<Outcome | null>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    try {
      const params = { path: { clinic } }
      await body(api.POST('/c/{clinic}/messages/link-requests', { params, body: { email } }))
      setOutcome('sent')
    } catch (error) {
      setOutcome(hasStatus(error, 422) ? 'address' : 'failed')
    } finally {
      setBusy(false)
    }
  }

  if (outcome === 'sent') return <Notice tone="good" title={t('lost.sent')} />
  return (
    <form className="card stack" noValidate onSubmit={submit}>
      <p>{t('lost.body')}</p>
      {outcome === 'failed' && <Notice tone="bad" title={t('network.unreachable')} />}
      <Field
        label={t('details.email')}
        error={outcome === 'address' ? t('details.error.email') : undefined}
        type="email"
        autoComplete="email"
        value={email}
        onChange={(event) => setEmail(event.target.value)}
      />
      <Button type="submit" look="primary" size="full" busy={busy}>
        {t('lost.submit')}
      </Button>
    </form>
  )
}
