import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { dayOf } from '../../i18n/time'
import { StaffPage } from '../StaffPage'
import { hasRole, useStaff } from '../staff'
import { InvoiceCard } from './InvoiceCard'
import { PaymentSettings } from './PaymentSettings'
import { ReportDownload } from './ReportDownload'

type Run = 'done' | 'failed'

/** What the visits of a day cost, how far they are paid, and what is to be done about it. */
export function PaymentsPage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const [day, setDay] = useState<string>(dayOf(Date.now(), session.clinic.timeZone))
  const [running, setRunning] = useState(false)
  const [run, setRun] = useState<Run | null>(null)
  const load = useCallback(
    () =>
      body(api.GET('/c/{clinic}/payments/invoices', { params: { path: { clinic }, query: { date: day } } })),
    [api, clinic, day],
  )
  const { data, error, reload } = useLoaded(load)

  async function reconcile() {
    setRunning(true)
    const params = { path: { clinic } }
    try {
      // What is written down by one run is asked for by the next.
      for (let rounds = 0; rounds < 2; rounds++) {
        await body(api.POST('/c/{clinic}/payments/reconciliations', { params, body: {} }))
      }
      setRun('done')
    } catch {
      setRun('failed')
    }
    await reload()
    setRunning(false)
  }

  return (
    <StaffPage
      title={t('payments.title')}
      beside={
        <Button busy={running} onClick={() => void reconcile()}>
          {t('payments.reconcile')}
        </Button>
      }
    >
      {run && <Notice tone={run === 'done' ? 'good' : 'bad'} title={t(`payments.reconcile.${run}`)} />}
      <Field
        label={t('payments.day')}
        type="date"
        value={day}
        onChange={(event) => event.target.value && setDay(event.target.value)}
      />
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data?.invoices.length === 0 && <p>{t('payments.none')}</p>}
      <ul className="stack">
        {data?.invoices.map((invoice) => (
          <li key={invoice.id}>
            <InvoiceCard invoice={invoice} zone={data.timeZone} onChanged={reload} />
          </li>
        ))}
      </ul>
      {hasRole(session, 'billing', 'clinic-admin') && <ReportDownload />}
      {hasRole(session, 'billing', 'clinic-admin') && <PaymentSettings />}
    </StaffPage>
  )
}
