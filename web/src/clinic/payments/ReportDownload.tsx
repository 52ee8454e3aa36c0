import { useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import type { PaymentReport } from '../../api/types'
import { Button } from '../../design/Button'
import { Field } from '../../design/Field'
import { Notice } from '../../design/Notice'
import { saveAs } from '../../design/saveAs'
import { t } from '../../i18n/text'
import { addDays, dateText, dayOf } from '../../i18n/time'
import { useStaff } from '../staff'

/** What came in and went out, by day and account: to be held against till and payouts. */
export function ReportDownload() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const today = dayOf(Date.now(), session.clinic.timeZone)
  const [from, setFrom] = useState<string>(addDays(today, -7))
  const [until, setUntil] = useState<string>(today)
  const [report, setReport] = useState<PaymentReport | null>(null)
  const [failed, setFailed] = useState(false)
  const params = { path: { clinic }, query: { from, until } }

  async function show() {
    const { data } = await api
      .GET('/c/{clinic}/payments/report', { params })
      .catch(() => ({ data: undefined }))
    setReport(data && typeof data === 'object' ? data : null)
    setFailed(!data)
  }

  async function save() {
    const asked = await api
      .GET('/c/{clinic}/payments/report', {
        params: { ...params, query: { ...params.query, format: 'csv' } },
        parseAs: 'blob',
      })
      .catch(() => null)
    if (asked?.response.ok && asked.data) saveAs(asked.data as unknown as Blob, `payments-${from}.csv`)
    else setFailed(true)
  }

  return (
    <section className="card stack" aria-labelledby="report">
      <h2 id="report">{t('payments.report')}</h2>
      <div className="row">
        <Field
          label={t('payments.report.from')}
          type="date"
          value={from}
          onChange={(event) => setFrom(event.target.value)}
        />
        <Field
          label={t('payments.report.until')}
          type="date"
          value={until}
          onChange={(event) => setUntil(event.target.value)}
        />
      </div>
      <div className="row">
        <Button onClick={() => void show()}>{t('payments.report.show')}</Button>
        <Button onClick={() => void save()}>{t('payments.report.save')}</Button>
      </div>
      {failed && <Notice tone="bad" title={t('payments.setback.failed')} />}
      {report?.lines.length === 0 && <p>{t('payments.report.none')}</p>}
      {report && report.lines.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard (WCAG 2.1.1).
        <section className="table-scroll" aria-labelledby="report" tabIndex={0}>
          <table className="table">
            <thead>
              <tr>
                {(['day', 'account', 'received', 'refunded', 'net'] as const).map((column) => (
                  <th key={column} scope="col" className={isAmount(column) ? 'amount' : undefined}>
                    {t(`payments.report.${column}`)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {report.lines.map((line) => (
                <tr key={`${line.day} ${line.account} ${line.currency}`}>
                  <td>{dateText(line.day as `${number}-${number}-${number}`)}</td>
                  <td>{t(`payments.account.${line.account}`)}</td>
                  <td className="amount">{line.received}</td>
                  <td className="amount">{line.refunded}</td>
                  <td className="amount">
                    {line.net} {line.currency}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  )
}

function isAmount(column: string): boolean {
  return column !== 'day' && column !== 'account'
}
