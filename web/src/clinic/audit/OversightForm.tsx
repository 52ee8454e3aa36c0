import { type SyntheticEvent, useCallback, useEffect, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { Oversight } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { Select } from '../../design/Select'
import { t } from '../../i18n/text'

/** What is looked at again, and whose records clinicians may open. */
export function OversightForm() {
  const { api, clinic } = useClinicApi()
  const params = { path: { clinic } }
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/audit/oversight', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data } = useLoaded(load)
  const [wanted, setWanted] = useState<Oversight | null>(null)
  const [said, setSaid] = useState<'saved' | 'failed' | null>(null)
  useEffect(() => setWanted(data), [data])
  if (!wanted) return null
  const set = (change: Partial<Oversight>) => {
    setSaid(null)
    setWanted({ ...wanted, ...change })
  }

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    if (!wanted) return
    const { alertEmail, ...rest } = wanted
    const saving = body(
      api.PUT('/c/{clinic}/audit/oversight', {
        params,
        body: alertEmail ? { ...rest, alertEmail } : rest,
      }),
    )
    setSaid(
      await saving.then(
        () => 'saved' as const,
        () => 'failed' as const,
      ),
    )
  }

  const number = (key: 'emergencyMinutes' | 'massPatients' | 'sampleOneIn', min: number, max: number) => (
    <Field
      label={t(`oversight.${key}`)}
      type="number"
      min={min}
      max={max}
      required
      value={wanted[key]}
      onChange={(event) => set({ [key]: event.target.valueAsNumber || 0 })}
    />
  )
  const clock = (key: 'dayBegins' | 'dayEnds') => (
    <Field
      label={t(`oversight.${key}`)}
      type="time"
      required
      value={wanted[key]}
      onChange={(event) => set({ [key]: event.target.value })}
    />
  )

  return (
    <form className="card stack" aria-labelledby="oversight-heading" onSubmit={submit}>
      <h2 id="oversight-heading">{t('oversight.title')}</h2>
      <Select
        label={t('oversight.recordAccess')}
        value={wanted.recordAccess}
        onChange={(value) => set({ recordAccess: value === 'assigned' ? 'assigned' : 'clinic' })}
        options={[
          ['clinic', t('oversight.recordAccess.clinic')],
          ['assigned', t('oversight.recordAccess.assigned')],
        ]}
      />
      <div className="filters">
        {number('emergencyMinutes', 5, 720)}
        {clock('dayBegins')}
        {clock('dayEnds')}
        {number('massPatients', 1, 65535)}
        {number('sampleOneIn', 0, 65535)}
        <Field
          label={t('oversight.alertEmail')}
          type="email"
          value={wanted.alertEmail ?? ''}
          onChange={(event) => set({ alertEmail: event.target.value })}
        />
      </div>
      {said && <Notice tone={said === 'saved' ? 'good' : 'bad'} title={t(`oversight.${said}`)} />}
      <div className="row">
        <Button type="submit" look="primary">
          {t('oversight.save')}
        </Button>
      </div>
    </form>
  )
}
