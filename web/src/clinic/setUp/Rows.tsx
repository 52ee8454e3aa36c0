import { type ReactNode, useId } from 'react'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { t } from '../../i18n/text'
import {
  EMPTY,
  errorAt,
  FIELDS,
  type FieldOf,
  type InputError,
  type List,
  type Nested,
  pointerOf,
  type Row,
  shownOf,
  withValue,
} from './fields'

const LABELS: Record<string, string> = {
  key: t('setUp.field.key'),
  name: t('setUp.field.name'),
  address: t('setUp.field.address'),
  timeZone: t('setUp.field.timeZone'),
  durationMinutes: t('setUp.field.durationMinutes'),
  bufferBeforeMinutes: t('setUp.field.bufferBeforeMinutes'),
  bufferAfterMinutes: t('setUp.field.bufferAfterMinutes'),
  capacity: t('setUp.field.capacity'),
  needsRoom: t('setUp.field.needsRoom'),
  service: t('setUp.field.service'),
  required: t('setUp.field.required'),
  'price.amount': t('setUp.field.price.amount'),
  'price.currency': t('setUp.field.price.currency'),
  site: t('setUp.field.site'),
  staff: t('setUp.field.staff'),
  rrule: t('setUp.field.rrule'),
  start: t('setUp.field.start'),
  end: t('setUp.field.end'),
  from: t('setUp.field.from'),
  until: t('setUp.field.until'),
  jurisdiction: t('setUp.field.jurisdiction'),
  language: t('setUp.field.language'),
  title: t('setUp.field.title'),
  text: t('setUp.field.text'),
}

interface Props {
  list: List | Nested
  title: string
  rows: readonly Row[]
  /** Where the list stands in the bundle. */
  place: string
  errors: readonly InputError[]
  onChange: (rows: Row[]) => void
  /** What a row has besides its fields. */
  more?: ((row: Row, at: number, onChange: (row: Row) => void) => ReactNode) | undefined
}

/** A list of a bundle, with a form for each of its rows. */
export function Rows({ list, title, rows, place, errors, onChange, more }: Props) {
  const id = useId()
  const change = (at: number, row: Row) => onChange(rows.map((old, index) => (index === at ? row : old)))
  return (
    <section className="card stack" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {rows.length === 0 && <p className="soft">{t('setUp.none')}</p>}
      {rows.map((row, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: rows have no other name while they are written
        <fieldset key={at} className="stack close">
          <legend className="field-label">
            {shownOf(row, 'name') || shownOf(row, 'title') || `${at + 1}`}
          </legend>
          <div className="set-up-fields">
            {FIELDS[list].map((field) => (
              <RowField
                key={field.name}
                field={field}
                row={row}
                error={errorAt(errors, pointerOf(`${place}/${at}`, field))}
                onChange={(value) => change(at, withValue(row, field, value))}
              />
            ))}
          </div>
          {more?.(row, at, (next) => change(at, next))}
          <div className="row">
            <Button look="plain" onClick={() => onChange(rows.filter((_, index) => index !== at))}>
              {t('setUp.remove')}
            </Button>
          </div>
        </fieldset>
      ))}
      <div className="row">
        <Button onClick={() => onChange([...rows, EMPTY[list]])}>{t('setUp.add')}</Button>
      </div>
    </section>
  )
}

interface RowFieldProps {
  field: FieldOf
  row: Row
  error: string | undefined
  onChange: (value: string) => void
}

function RowField({ field, row, error, onChange }: RowFieldProps) {
  const id = useId()
  const label = LABELS[field.name] ?? field.name
  const value = shownOf(row, field.name)
  if (field.kind === 'check') {
    return (
      <div className="field">
        <label className="choice">
          <input
            type="checkbox"
            checked={value === 'true'}
            aria-invalid={error ? true : undefined}
            onChange={(event) => onChange(String(event.target.checked))}
          />
          <span className="choice-name">{label}</span>
        </label>
        {error && <span className="field-error">{error}</span>}
      </div>
    )
  }
  if (field.kind !== 'long') {
    return (
      <Field
        label={label}
        type={field.kind === 'date' ? 'date' : 'text'}
        inputMode={field.kind === 'number' ? 'numeric' : undefined}
        value={value}
        error={error}
        onChange={(event) => onChange(event.target.value)}
      />
    )
  }
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea
        id={id}
        className="input"
        rows={4}
        value={value}
        aria-invalid={error ? true : undefined}
        onChange={(event) => onChange(event.target.value)}
      />
      {error && <span className="field-error">{error}</span>}
    </div>
  )
}
