import { type SyntheticEvent, useCallback, useEffect, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import type { Contact } from '../api/types'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Field } from '../design/Field'
import { Notice } from '../design/Notice'
import { language, t } from '../i18n/text'

/** Where a patient is reminded of this visit. */
export function VisitContact() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/messages/visit-contact', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data } = useLoaded(load)
  const [contact, setContact] = useState<Contact | null>(null)
  const [outcome, setOutcome] = useState<'saved' | 'failed' | null>(null)
  useEffect(() => setContact((now) => now ?? data ?? null), [data])
  // Who acts for the patient does not see it.
  if (!contact) return null

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (!contact) return
    const wished = { ...contact, phone: contact.phone || null, language: language() }
    const params = { path: { clinic } }
    const done = await body(api.PUT('/c/{clinic}/messages/visit-contact', { params, body: wished })).catch(
      () => null,
    )
    setOutcome(done ? 'saved' : 'failed')
    if (done) setContact(done)
  }

  return (
    <details className="card">
      <summary>{t('visitContact.title')}</summary>
      <form className="stack" onSubmit={submit} noValidate>
        {outcome && (
          <Notice tone={outcome === 'saved' ? 'good' : 'bad'} title={t(`visitContact.${outcome}`)} />
        )}
        <Field
          label={t('visitContact.phone')}
          type="tel"
          autoComplete="tel"
          value={contact.phone ?? ''}
          onChange={(event) => setContact({ ...contact, phone: event.target.value })}
        />
        <label className="choice">
          <input
            type="checkbox"
            checked={contact.channel === 'sms'}
            onChange={(event) => setContact({ ...contact, channel: event.target.checked ? 'sms' : 'email' })}
          />
          <span className="choice-name">{t('visitContact.byText')}</span>
        </label>
        <div className="row">
          <Button type="submit">{t('visitContact.save')}</Button>
        </div>
      </form>
    </details>
  )
}
