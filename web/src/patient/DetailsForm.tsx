import { type SyntheticEvent, useRef, useState } from 'react'
import type { PaymentOptions } from '../api/types'
import { Button } from '../design/Button'
import { Field } from '../design/Field'
import { Select } from '../design/Select'
import { languageOptions } from '../i18n/languages'
import { t } from '../i18n/text'
import { dayOf, readerZone } from '../i18n/time'
import { BirthDateField } from './BirthDateField'
import { type Details, type DetailsError, mistakes } from './details'

interface Props {
  details: Details
  /** The time is no longer held: nothing can be confirmed. */
  blocked: boolean
  busy: boolean
  onChange: (details: Details) => void
  /** By card, or at the clinic. */
  onSubmit: (byCard: boolean) => void
  options: PaymentOptions
}

export function DetailsForm({ details, blocked, busy, onChange, onSubmit, options }: Props) {
  const [shown, setShown] = useState<DetailsError[]>([])
  const form = useRef<HTMLFormElement>(null)

  function submit(event: SyntheticEvent, byCard: boolean) {
    event.preventDefault()
    if (busy || blocked) return
    const found = mistakes(details, dayOf(Date.now(), readerZone()))
    setShown(found)
    const [first] = found
    if (!first) onSubmit(byCard)
    else form.current?.querySelector<HTMLInputElement>(`[data-field="${fieldOf(first)}"]`)?.focus()
  }

  const error = (...kinds: DetailsError[]) => {
    const kind = kinds.find((one) => shown.includes(one))
    return kind && t(`details.error.${kind}`)
  }

  return (
    <form
      ref={form}
      className="stack wide"
      noValidate
      onSubmit={(event) => submit(event, options.card !== null)}
    >
      <Field
        label={t('details.name')}
        data-field="name"
        autoComplete="name"
        value={details.name}
        error={error('name')}
        onChange={(event) => onChange({ ...details, name: event.target.value })}
      />
      <BirthDateField details={details} error={error('birthDate', 'birthDateFuture')} onChange={onChange} />
      <Field
        label={t('details.email')}
        hint={t('details.email.hint')}
        data-field="email"
        type="email"
        autoComplete="email"
        value={details.email}
        error={error('email')}
        onChange={(event) => onChange({ ...details, email: event.target.value })}
      />
      <Field
        label={t('details.phone')}
        hint={t('details.phone.hint')}
        data-field="phone"
        type="tel"
        autoComplete="tel"
        value={details.phone}
        error={error('phone')}
        onChange={(event) => onChange({ ...details, phone: event.target.value })}
      />
      <label className="choice">
        <input
          type="checkbox"
          checked={details.byText}
          onChange={(event) => onChange({ ...details, byText: event.target.checked })}
        />
        <span className="choice-name">{t('details.byText')}</span>
      </label>
      <Select
        label={t('details.interpreter')}
        value={details.interpreter}
        options={[['', t('details.interpreter.none')], ...languageOptions()]}
        onChange={(interpreter) => onChange({ ...details, interpreter })}
      />
      <div className="stack close">
        <Button type="submit" look="primary" size="full" busy={busy || blocked}>
          {busy ? t('details.confirming') : t(options.card ? 'details.payByCard' : 'details.confirm')}
        </Button>
        {options.card && options.atClinic && (
          <Button size="full" busy={busy || blocked} onClick={(event) => submit(event, false)}>
            {t('details.confirm')}
          </Button>
        )}
        <p className="small soft">{t(options.card ? 'details.cardLater' : 'details.payLater')}</p>
      </div>
    </form>
  )
}

function fieldOf(error: DetailsError): string {
  return error === 'birthDateFuture' ? 'birthDate' : error
}
