import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug, hasStatus } from '../../api/problem'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { useProof } from '../proof'

type Outcome = 'changed' | 'weak' | 'wrong' | 'tooMany' | 'failed'

export function PasswordForm() {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [current, setCurrent] = useState('')
  const [chosen, setChosen] = useState('')
  const [busy, setBusy] = useState(false)
  const [outcome, setOutcome] = useState<Outcome | null>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    try {
      const params = { path: { clinic } }
      const asked = { current, new: chosen }
      await withProof(() => body(api.PUT('/c/{clinic}/auth/password', { params, body: asked })))
      setOutcome('changed')
      setCurrent('')
      setChosen('')
    } catch (error) {
      setOutcome(outcomeOf(error))
    } finally {
      setBusy(false)
    }
  }

  return (
    <form className="card stack" onSubmit={submit} aria-labelledby="password">
      <h2 id="password">{t('password.title')}</h2>
      {outcome === 'changed' && <Notice tone="good" title={t('password.changed')} />}
      {(outcome === 'failed' || outcome === 'tooMany') && (
        <Notice tone="bad" title={t(outcome === 'failed' ? 'network.unreachable' : 'signIn.tooMany')} />
      )}
      <Field
        label={t('password.current')}
        error={outcome === 'wrong' ? t('password.wrong') : undefined}
        name="current-password"
        type="password"
        autoComplete="current-password"
        required
        value={current}
        onChange={(event) => setCurrent(event.target.value)}
      />
      <Field
        label={t('password.new')}
        hint={t('password.hint')}
        error={outcome === 'weak' ? t('password.weak') : undefined}
        name="new-password"
        type="password"
        autoComplete="new-password"
        required
        value={chosen}
        onChange={(event) => setChosen(event.target.value)}
      />
      <div className="row">
        <Button type="submit" busy={busy}>
          {t('password.submit')}
        </Button>
      </div>
    </form>
  )
}

function outcomeOf(error: unknown): Outcome {
  if (hasStatus(error, 422)) return 'weak'
  if (hasSlug(error, 'wrong-password')) return 'wrong'
  return hasStatus(error, 429) ? 'tooMany' : 'failed'
}
