import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { ApiError, hasSlug, hasStatus } from '../../api/problem'
import type { SetUp, SetUpOutcome } from '../../api/types'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { Select } from '../../design/Select'
import { t } from '../../i18n/text'
import { useProof } from '../proof'
import { Changes } from './Changes'
import { type Bundle, errorAt, type InputError, type List, type Row } from './fields'
import { Rows } from './Rows'

const LISTS: readonly List[] = ['sites', 'services', 'exceptions', 'consents']
const CHECKS = ['auto', 'always', 'never'] as const

interface Props {
  kept: SetUp
  onSaved: () => Promise<unknown>
}

/** Everything is written here first; what it would change is shown before it is done. */
export function SetUpForm({ kept, onSaved }: Props) {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const [bundle, setBundle] = useState<Bundle>(kept.bundle)
  const [planned, setPlanned] = useState<SetUpOutcome | null>(null)
  const [errors, setErrors] = useState<InputError[]>([])
  const [failed, setFailed] = useState<'invalid' | 'changed' | 'failed' | null>(null)
  const [busy, setBusy] = useState(false)

  function change(next: Bundle) {
    setBundle(next)
    setPlanned(null)
  }

  async function send(plan: boolean): Promise<SetUpOutcome | null> {
    setBusy(true)
    setErrors([])
    setFailed(null)
    try {
      const params = { path: { clinic }, query: { plan, version: kept.version } }
      return await withProof(() => body(api.PUT('/c/{clinic}/auth/set-up', { params, body: bundle })))
    } catch (error) {
      setErrors(error instanceof ApiError ? ((error.document.errors as InputError[]) ?? []) : [])
      setFailed(hasSlug(error, 'set-up-changed') ? 'changed' : hasStatus(error, 422) ? 'invalid' : 'failed')
      return null
    } finally {
      setBusy(false)
    }
  }

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (busy) return
    if (!planned) setPlanned(await send(true))
    else if (await send(false)) await onSaved()
  }

  const about = bundle.clinic
  const setAbout = (part: Partial<Bundle['clinic']>) => change({ ...bundle, clinic: { ...about, ...part } })
  const officer = about.privacyOfficer ?? { name: '', email: '' }
  const setOfficer = (part: Partial<typeof officer>) => {
    const { privacyOfficer: _, ...others } = about
    const next = { ...officer, ...part }
    const empty = next.name === '' && next.email === ''
    change({ ...bundle, clinic: empty ? others : { ...others, privacyOfficer: next } })
  }
  return (
    <form className="stack wide" noValidate onSubmit={submit}>
      <section className="card stack" aria-labelledby="about">
        <h2 id="about">{t('setUp.about')}</h2>
        <Field
          label={t('setUp.field.name')}
          value={about.name}
          error={errorAt(errors, '/clinic/name')}
          onChange={(event) => setAbout({ name: event.target.value })}
        />
        <Field
          label={t('setUp.field.timeZone')}
          value={about.timeZone}
          error={errorAt(errors, '/clinic/timeZone')}
          onChange={(event) => setAbout({ timeZone: event.target.value })}
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
          onChange={(check) => setAbout({ licenceCheck: check as (typeof CHECKS)[number] })}
        />
      </section>
      {LISTS.map((list) => (
        <Rows
          key={list}
          list={list}
          title={t(`setUp.${list}`)}
          rows={(bundle[list] ?? []) as Row[]}
          place={`/${list}`}
          errors={errors}
          onChange={(rows) => change({ ...bundle, [list]: rows })}
        />
      ))}
      {bundle.staff?.map((member, at) => (
        <Rows
          key={member.username}
          list="hours"
          title={t('setUp.hours', { name: member.name })}
          rows={(member.hours ?? []) as unknown as Row[]}
          place={`/staff/${at}/hours`}
          errors={errors}
          onChange={(hours) => {
            const staff = bundle.staff?.map((other) => (other === member ? { ...other, hours } : other))
            change({ ...bundle, staff } as Bundle)
          }}
        />
      ))}
      {failed && <Notice tone="bad" title={t(`setUp.${failed}`)} />}
      {planned && <Changes outcome={planned} />}
      <div className="row">
        <Button type="submit" look="primary" busy={busy}>
          {t(planned ? 'setUp.save' : 'setUp.plan')}
        </Button>
      </div>
    </form>
  )
}
