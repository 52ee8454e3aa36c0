import { type SyntheticEvent, useCallback, useEffect, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import type { PaymentSettings as Settings } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { hasRole, useStaff } from '../staff'

type Outcome = 'saved' | 'invalid' | 'failed'

/** How the clinic is paid. */
export function PaymentSettings() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const load = useCallback(async () => {
    const params = { path: { clinic } }
    const [settings, about] = await Promise.all([
      body(api.GET('/c/{clinic}/payments/settings', { params })),
      body(api.GET('/c/{clinic}/scheduling/clinic', { params })),
    ])
    return { settings, services: about.services }
  }, [api, clinic])
  const { data } = useLoaded(load)
  const [settings, setSettings] = useState<Settings | null>(null)
  const [busy, setBusy] = useState(false)
  const [outcome, setOutcome] = useState<Outcome | null>(null)
  useEffect(() => setSettings(data?.settings ?? null), [data])
  if (!settings || !data) return null
  const mayChange = hasRole(session, 'clinic-admin')

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy || !settings) return
    setBusy(true)
    try {
      await body(api.PUT('/c/{clinic}/payments/settings', { params: { path: { clinic } }, body: settings }))
      setOutcome('saved')
    } catch (error) {
      setOutcome(hasStatus(error, 422) ? 'invalid' : 'failed')
    }
    setBusy(false)
  }

  const perMinute = (service: string, is: boolean) => {
    const others = settings.perMinute.filter((one) => one !== service)
    setSettings({ ...settings, perMinute: is ? [...others, service] : others })
  }

  return (
    <form className="card stack" noValidate onSubmit={submit} aria-labelledby="payment-settings">
      <h2 id="payment-settings">{t('payments.settings')}</h2>
      {outcome && (
        <Notice tone={outcome === 'saved' ? 'good' : 'bad'} title={t(`payments.settings.${outcome}`)} />
      )}
      <Field
        label={t('payments.settings.noShow')}
        inputMode="numeric"
        value={String(settings.noShowPercent)}
        disabled={!mayChange}
        onChange={(event) =>
          setSettings({ ...settings, noShowPercent: Number(event.target.value.replace(/\D/g, '')) })
        }
      />
      <label className="choice">
        <input
          type="checkbox"
          checked={settings.atClinic}
          disabled={!mayChange}
          onChange={(event) => setSettings({ ...settings, atClinic: event.target.checked })}
        />
        <span className="choice-name">{t('payments.settings.atClinic')}</span>
      </label>
      <fieldset className="field">
        <legend>{t('payments.settings.perMinute')}</legend>
        <div className="stack tight">
          {data.services.map((service) => (
            <label key={service.id} className="choice">
              <input
                type="checkbox"
                checked={settings.perMinute.includes(service.id)}
                disabled={!mayChange}
                onChange={(event) => perMinute(service.id, event.target.checked)}
              />
              <span className="choice-name">{service.name}</span>
            </label>
          ))}
        </div>
      </fieldset>
      {mayChange && (
        <div className="row">
          <Button type="submit" look="primary" busy={busy}>
            {t('payments.save')}
          </Button>
        </div>
      )}
    </form>
  )
}
