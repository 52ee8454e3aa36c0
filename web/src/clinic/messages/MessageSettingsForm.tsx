import { type SyntheticEvent, useCallback, useEffect, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { MessageSettings } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'

/** In which language, and at which hours, a clinic writes to people. */
export function MessageSettingsForm() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/messages/settings', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data } = useLoaded(load)
  const [settings, setSettings] = useState<MessageSettings | null>(null)
  const [outcome, setOutcome] = useState<'saved' | 'failed' | null>(null)
  useEffect(() => setSettings((now) => now ?? data ?? null), [data])
  if (!settings) return null

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (!settings) return
    const { language, quietFrom, quietUntil } = settings
    const wished = { language, quietFrom: quietFrom || null, quietUntil: quietUntil || null }
    const params = { path: { clinic } }
    await body(api.PUT('/c/{clinic}/messages/settings', { params, body: wished }))
      .then(() => setOutcome('saved'))
      .catch(() => setOutcome('failed'))
  }

  return (
    <form className="card stack" aria-labelledby="how" onSubmit={submit} noValidate>
      <h2 id="how">{t('messageWork.settings')}</h2>
      {outcome && <Notice tone={outcome === 'saved' ? 'good' : 'bad'} title={t(`messageWork.${outcome}`)} />}
      <fieldset className="field">
        <legend>{t('messageWork.language')}</legend>
        <div className="stack tight">
          {(['en', 'es'] as const).map((language) => (
            <label key={language} className="choice">
              <input
                type="radio"
                name="language"
                checked={settings.language === language}
                onChange={() => setSettings({ ...settings, language })}
              />
              <span className="choice-name">{t(`messageWork.language.${language}`)}</span>
            </label>
          ))}
        </div>
      </fieldset>
      <Field
        label={t('messageWork.quietFrom')}
        hint={t('messageWork.quiet')}
        type="time"
        value={settings.quietFrom ?? ''}
        onChange={(event) => setSettings({ ...settings, quietFrom: event.target.value })}
      />
      <Field
        label={t('messageWork.quietUntil')}
        type="time"
        value={settings.quietUntil ?? ''}
        onChange={(event) => setSettings({ ...settings, quietUntil: event.target.value })}
      />
      <div className="row">
        <Button look="primary" type="submit">
          {t('messageWork.save')}
        </Button>
      </div>
    </form>
  )
}
