import { type SyntheticEvent, useCallback, useEffect, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { PatientContact } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'

interface Props {
  appointment: string
  onSaved: () => Promise<void>
}

/** How the patient of a visit is written to, corrected with them. */
export function CorrectContact({ appointment, onSaved }: Props) {
  const { api, clinic } = useClinicApi()
  const params = { path: { clinic, id: appointment } }
  const load = useCallback(
    () =>
      body(
        api.GET('/c/{clinic}/messages/appointments/{id}/contact', {
          params: { path: { clinic, id: appointment } },
        }),
      ),
    [api, clinic, appointment],
  )
  const { data } = useLoaded(load)
  const [contact, setContact] = useState<PatientContact | null>(null)
  const [outcome, setOutcome] = useState<'saved' | 'invalid' | null>(null)
  useEffect(() => setContact((now) => now ?? data ?? null), [data])
  if (!contact) return null

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (!contact) return
    const { email, phone, language, channel } = contact
    const wished = { email, phone: phone || null, language, channel }
    const done = await body(
      api.PUT('/c/{clinic}/messages/appointments/{id}/contact', { params, body: wished }),
    ).catch(() => null)
    setOutcome(done ? 'saved' : 'invalid')
    if (!done) return
    setContact(done)
    await onSaved()
  }

  return (
    <form
      className="stack"
      aria-label={t('contact.title', { name: contact.patient })}
      onSubmit={submit}
      noValidate
    >
      <h3>{t('contact.title', { name: contact.patient })}</h3>
      {outcome && <Notice tone={outcome === 'saved' ? 'good' : 'bad'} title={t(`contact.${outcome}`)} />}
      {contact.undeliverable.length > 0 && <p className="soft">{t('contact.undeliverable')}</p>}
      <Field
        label={t('contact.email')}
        type="email"
        value={contact.email}
        onChange={(event) => setContact({ ...contact, email: event.target.value })}
      />
      <Field
        label={t('contact.phone')}
        type="tel"
        value={contact.phone ?? ''}
        onChange={(event) => setContact({ ...contact, phone: event.target.value })}
      />
      <label className="choice">
        <input
          type="checkbox"
          checked={contact.channel === 'sms'}
          onChange={(event) => setContact({ ...contact, channel: event.target.checked ? 'sms' : 'email' })}
        />
        <span className="choice-name">{t('contact.byText')}</span>
      </label>
      <fieldset className="field">
        <legend>{t('contact.language')}</legend>
        <div className="stack tight">
          {([null, 'en', 'es'] as const).map((language) => (
            <label key={language ?? 'none'} className="choice">
              <input
                type="radio"
                name={`language-${appointment}`}
                checked={contact.language === language}
                onChange={() => setContact({ ...contact, language })}
              />
              <span className="choice-name">
                {language ? t(`messageWork.language.${language}`) : t('contact.language.none')}
              </span>
            </label>
          ))}
        </div>
      </fieldset>
      <div className="row">
        <Button type="submit">{t('contact.save')}</Button>
      </div>
    </form>
  )
}
