import { type SyntheticEvent, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'

/** Plans, at a visit, when its patient is to be seen again. */
export function PlanRecall({ appointmentId }: { appointmentId: string }) {
  const { api, clinic } = useClinicApi()
  const [reason, setReason] = useState('')
  const [dueOn, setDueOn] = useState('')
  const [months, setMonths] = useState('')
  const [outcome, setOutcome] = useState<'planned' | 'invalid' | null>(null)

  async function submit(event: SyntheticEvent) {
    event.preventDefault()
    const intervalMonths = months === '' ? null : Number(months)
    const wished = { appointment: appointmentId, reason, dueOn, intervalMonths }
    const done = await body(
      api.POST('/c/{clinic}/messages/recalls', { params: { path: { clinic } }, body: wished }),
    ).then(
      () => true,
      () => false,
    )
    setOutcome(done ? 'planned' : 'invalid')
    if (done) setReason('')
  }

  return (
    <details className="card">
      <summary>{t('recalls.plan')}</summary>
      <form className="stack" onSubmit={submit} noValidate>
        {outcome && <Notice tone={outcome === 'planned' ? 'good' : 'bad'} title={t(`recalls.${outcome}`)} />}
        <Field
          label={t('recalls.reason')}
          hint={t('recalls.reason.hint')}
          maxLength={200}
          value={reason}
          onChange={(event) => setReason(event.target.value)}
        />
        <Field
          label={t('recalls.dueOn')}
          type="date"
          value={dueOn}
          onChange={(event) => setDueOn(event.target.value)}
        />
        <Field
          label={t('recalls.months')}
          type="number"
          min={1}
          max={60}
          value={months}
          onChange={(event) => setMonths(event.target.value)}
        />
        <div className="row">
          <Button type="submit" disabled={reason.trim() === '' || dueOn === ''}>
            {t('recalls.planIt')}
          </Button>
        </div>
      </form>
    </details>
  )
}
