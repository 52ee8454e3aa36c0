import { type SyntheticEvent, useState } from 'react'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Select } from '../../design/Select'
import { t } from '../../i18n/text'
import type { AuditAction, AuditOutcome, AuditSort, Filters } from './filters'

const ACTIONS = ['C', 'R', 'U', 'D', 'E'] as const
const SORTS = ['recorded', 'user', 'patient', 'action', 'outcome'] as const

interface Props {
  filters: Filters
  onChange: (filters: Filters) => void
}

/** What is looked for. Whose events, and of whose record, is chosen in the list. */
export function AuditFilters({ filters, onChange }: Props) {
  const [wanted, setWanted] = useState(filters)
  const set = (change: Partial<Filters>) => setWanted({ ...wanted, ...change })
  const { user, userName, patient, patientName } = filters

  function submit(event: SyntheticEvent) {
    event.preventDefault()
    onChange({ ...wanted, user, userName, patient, patientName })
  }

  return (
    <search>
      <form className="card stack close" onSubmit={submit}>
        <div className="filters">
          <Field
            label={t('audit.from')}
            type="date"
            value={wanted.from}
            onChange={(event) => set({ from: event.target.value })}
          />
          <Field
            label={t('audit.until')}
            type="date"
            value={wanted.until}
            onChange={(event) => set({ until: event.target.value })}
          />
          <Select
            label={t('audit.action')}
            value={wanted.action}
            onChange={(value) => set({ action: value as AuditAction | '' })}
            options={[
              ['', t('audit.any')],
              ...ACTIONS.map((action) => [action, t(`audit.action.${action}`)]),
            ]}
          />
          <Select
            label={t('audit.outcome')}
            value={wanted.outcome}
            onChange={(value) => set({ outcome: value as AuditOutcome | '' })}
            options={[
              ['', t('audit.any')],
              ['success', t('audit.outcome.success')],
              ['failure', t('audit.outcome.failure')],
            ]}
          />
          <Field
            label={t('audit.code')}
            placeholder="note-read"
            pattern="[A-Za-z0-9_.:\/\-]{1,64}"
            value={wanted.code}
            onChange={(event) => set({ code: event.target.value })}
          />
          <Select
            label={t('audit.sort')}
            value={wanted.sort}
            onChange={(value) => set({ sort: value as AuditSort })}
            options={SORTS.map((sort) => [sort, t(`audit.sort.${sort}`)])}
          />
          <Select
            label={t('audit.order')}
            value={wanted.order}
            onChange={(value) => set({ order: value as Filters['order'] })}
            options={[
              ['desc', t('audit.order.desc')],
              ['asc', t('audit.order.asc')],
            ]}
          />
        </div>
        <div className="row">
          <Button type="submit" look="primary">
            {t('audit.search')}
          </Button>
          {user && (
            <Button onClick={() => onChange({ ...filters, user: '', userName: '' })}>
              {t('audit.without', { name: userName })}
            </Button>
          )}
          {patient && (
            <Button onClick={() => onChange({ ...filters, patient: '', patientName: '' })}>
              {t('audit.without', { name: patientName })}
            </Button>
          )}
        </div>
      </form>
    </search>
  )
}
