import { Field } from '../../design/Field'
import { Select } from '../../design/Select'
import { t } from '../../i18n/text'
import { type Bundle, errorAt, type InputError } from './fields'

const CHECKS = ['auto', 'always', 'never'] as const

type About = Bundle['clinic']

interface Props {
  about: About
  errors: readonly InputError[]
  onChange: (about: About) => void
}

/** What holds for all of the clinic. */
export function AboutClinic({ about, errors, onChange }: Props) {
  const set = (part: Partial<About>) => onChange({ ...about, ...part })
  const officer = about.privacyOfficer ?? { name: '', email: '' }
  const setOfficer = (part: Partial<typeof officer>) => {
    const { privacyOfficer: _, ...others } = about
    const next = { ...officer, ...part }
    const empty = next.name === '' && next.email === ''
    onChange(empty ? others : { ...others, privacyOfficer: next })
  }
  const setColor = (color: string) => {
    const { color: _, ...others } = about
    onChange(color === '' ? others : { ...others, color })
  }
  const number = (text: string) => Number(text.replace(/\D/g, ''))
  return (
    <section className="card stack" aria-labelledby="about">
      <h2 id="about">{t('setUp.about')}</h2>
      <Field
        label={t('setUp.field.name')}
        value={about.name}
        error={errorAt(errors, '/clinic/name')}
        onChange={(event) => set({ name: event.target.value })}
      />
      <Field
        label={t('setUp.field.timeZone')}
        value={about.timeZone}
        error={errorAt(errors, '/clinic/timeZone')}
        onChange={(event) => set({ timeZone: event.target.value })}
      />
      <Field
        label={t('setUp.officer.name')}
        value={officer.name}
        error={errorAt(errors, '/clinic/privacyOfficer/name')}
        onChange={(event) => setOfficer({ name: event.target.value })}
      />
      <Field
        label={t('setUp.officer.email')}
        type="email"
        value={officer.email}
        error={errorAt(errors, '/clinic/privacyOfficer/email')}
        onChange={(event) => setOfficer({ email: event.target.value })}
      />
      <Select
        label={t('setUp.licenceCheck')}
        value={about.licenceCheck ?? 'auto'}
        options={CHECKS.map((check) => [check, t(`setUp.licenceCheck.${check}`)])}
        onChange={(check) => set({ licenceCheck: check as (typeof CHECKS)[number] })}
      />
      <Field
        label={t('setUp.field.changeUntilMinutes')}
        inputMode="numeric"
        value={about.changeUntilMinutes ?? 120}
        error={errorAt(errors, '/clinic/changeUntilMinutes')}
        onChange={(event) => set({ changeUntilMinutes: number(event.target.value) })}
      />
      <Field
        label={t('setUp.field.noShowAfterMinutes')}
        inputMode="numeric"
        value={about.noShowAfterMinutes ?? 15}
        error={errorAt(errors, '/clinic/noShowAfterMinutes')}
        onChange={(event) => set({ noShowAfterMinutes: number(event.target.value) })}
      />
      <Field
        label={t('setUp.field.color')}
        value={about.color ?? ''}
        error={errorAt(errors, '/clinic/color')}
        onChange={(event) => setColor(event.target.value)}
      />
    </section>
  )
}
