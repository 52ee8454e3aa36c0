import { useId } from 'react'
import { locale, t } from '../i18n/text'
import { birthDateOrder, type Details } from './details'

interface Props {
  details: Details
  error: string | undefined
  onChange: (details: Details) => void
}

/** Three boxes to type in: nobody finds their birth year by paging through a calendar. */
export function BirthDateField({ details, error, onChange }: Props) {
  const id = useId()
  return (
    <fieldset className="field" aria-describedby={error ? `${id}-error` : undefined}>
      <legend>{t('details.birthDate')}</legend>
      <div className="birth-date">
        {birthDateOrder(locale()).map((part, index) => (
          <div key={part} className="stack close">
            <label className="field-hint" htmlFor={`${id}-${part}`}>
              {t(`details.${part}`)}
            </label>
            <input
              id={`${id}-${part}`}
              className={part === 'year' ? 'input year' : 'input'}
              data-field={index === 0 ? 'birthDate' : undefined}
              inputMode="numeric"
              autoComplete={`bday-${part}`}
              maxLength={part === 'year' ? 4 : 2}
              value={details[part]}
              aria-invalid={error ? true : undefined}
              onChange={(event) => onChange({ ...details, [part]: event.target.value })}
            />
          </div>
        ))}
      </div>
      {error && (
        <span className="field-error" id={`${id}-error`}>
          {error}
        </span>
      )}
    </fieldset>
  )
}
