import { type SyntheticEvent, useCallback, useEffect, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import type { Settings } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { useProof } from '../proof'
import { StaffPage } from '../StaffPage'

const WHEN = ['never', 'risk', 'always'] as const
const BY = ['birth-date', 'code'] as const
type Outcome = 'saved' | 'invalid' | 'failed'

/** How people sign in and open links at this clinic, with why what is off is off. */
export function SettingsPage() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/settings', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error } = useLoaded(load)
  return (
    <StaffPage title={t('settings.title')}>
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data && <SettingsForm kept={data} />}
    </StaffPage>
  )
}

function SettingsForm({ kept }: { kept: Settings }) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [settings, setSettings] = useState(kept)
  const [busy, setBusy] = useState(false)
  const [outcome, setOutcome] = useState<Outcome | null>(null)
  useEffect(() => setSettings(kept), [kept])

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    try {
      const params = { path: { clinic } }
      await withProof(() => body(api.PUT('/c/{clinic}/auth/settings', { params, body: settings })))
      setOutcome('saved')
    } catch (error) {
      setOutcome(hasStatus(error, 422) ? 'invalid' : 'failed')
    } finally {
      setBusy(false)
    }
  }

  const days = settings.passwordMaxDays
  return (
    <form className="stack wide" noValidate onSubmit={submit}>
      {outcome && <Notice tone={outcome === 'saved' ? 'good' : 'bad'} title={t(`settings.${outcome}`)} />}
      <section className="card stack" aria-labelledby="links">
        <h2 id="links">{t('settings.links')}</h2>
        <fieldset className="field">
          <legend>{t('settings.linkProof')}</legend>
          <div className="stack tight">
            {WHEN.map((when) => (
              <label key={when} className="choice">
                <input
                  type="radio"
                  name="link-proof"
                  checked={settings.linkProof === when}
                  onChange={() => setSettings({ ...settings, linkProof: when })}
                />
                <span className="choice-name">{t(`settings.linkProof.${when}`)}</span>
              </label>
            ))}
          </div>
        </fieldset>
        <fieldset className="field">
          <legend>{t('settings.linkProofBy')}</legend>
          <div className="stack tight">
            {BY.map((by) => (
              <label key={by} className="choice">
                <input
                  type="radio"
                  name="link-proof-by"
                  checked={settings.linkProofBy === by}
                  onChange={() => setSettings({ ...settings, linkProofBy: by })}
                />
                <span className="choice-name">{t(`settings.linkProofBy.${by}`)}</span>
              </label>
            ))}
          </div>
        </fieldset>
      </section>
      <section className="card stack" aria-labelledby="passwords">
        <h2 id="passwords">{t('settings.passwords')}</h2>
        <Field
          label={t('settings.passwordHistory')}
          inputMode="numeric"
          value={String(settings.passwordHistory)}
          onChange={(event) =>
            setSettings({ ...settings, passwordHistory: numberOf(event.target.value) ?? 0 })
          }
        />
        <Field
          label={t('settings.passwordMaxDays')}
          hint={t('settings.passwordMaxDays.hint')}
          inputMode="numeric"
          value={days === null ? '' : String(days)}
          onChange={(event) => setSettings({ ...settings, passwordMaxDays: numberOf(event.target.value) })}
        />
        <div className="stack tight">
          <label className="choice">
            <input
              type="checkbox"
              checked={settings.passwordComposition}
              aria-describedby="composition-hint"
              onChange={(event) => setSettings({ ...settings, passwordComposition: event.target.checked })}
            />
            <span className="choice-name">{t('settings.passwordComposition')}</span>
          </label>
          <span className="field-hint" id="composition-hint">
            {t('settings.passwordComposition.hint')}
          </span>
        </div>
      </section>
      <div className="row">
        <Button type="submit" look="primary" busy={busy}>
          {t('settings.save')}
        </Button>
      </div>
    </form>
  )
}

function numberOf(text: string): number | null {
  const digits = text.replace(/\D/g, '')
  return digits === '' ? null : Number(digits)
}
