import { useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug } from '../../api/problem'
import type { BooksInvoice } from '../../api/types'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { saveAs } from '../../design/saveAs'
import { t } from '../../i18n/text'
import { moneyText, timeText } from '../../i18n/time'
import { useProof } from '../proof'
import { hasRole, useStaff } from '../staff'
import { AmountForm } from './AmountForm'

interface Props {
  invoice: BooksInvoice
  zone: string
  onChanged: () => Promise<unknown>
}

type Open = 'pay' | 'refund' | null
type Setback = 'amount' | 'failed'

const METHODS = ['cash', 'terminal', 'transfer'] as const
type Method = (typeof METHODS)[number]

/** One invoice: where it stands, and what may be done about it. */
export function InvoiceCard({ invoice, zone, onChanged }: Props) {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const withProof = useProof()
  const [open, setOpen] = useState<Open>(null)
  const [busy, setBusy] = useState(false)
  const [setback, setSetback] = useState<Setback | null>(null)
  const params = { path: { clinic, id: invoice.id } }
  const money = (amount: string) => moneyText({ amount, currency: invoice.currency })
  const back = Number(invoice.paid) - Number(invoice.refunded)
  const owes = Number(invoice.owed) > 0 && invoice.status === 'issued'
  const { card } = invoice
  const tries = card && ['authorised', 'declined', 'saved'].includes(card.state) && owes

  async function change(work: () => Promise<unknown>) {
    if (busy) return
    setBusy(true)
    setSetback(null)
    try {
      await work()
      setOpen(null)
    } catch (error) {
      setSetback(hasSlug(error, 'amount-out-of-range', 'invalid-input') ? 'amount' : 'failed')
    }
    await onChanged()
    setBusy(false)
  }

  const settle = () => body(api.POST('/c/{clinic}/payments/invoices/{id}/settle', { params, body: {} }))
  const pay = (amount: string, method: string) =>
    change(() => {
      const paid = { method: method as Method, amount: { amount, currency: invoice.currency } }
      return body(api.POST('/c/{clinic}/payments/invoices/{id}/payments', { params, body: paid }))
    })
  const capture = () =>
    change(async () => {
      await body(api.POST('/c/{clinic}/payments/invoices/{id}/capture', { params, body: {} }))
      await settle()
    })
  const refund = (amount: string, id: string) =>
    change(async () => {
      const wish = { id, amount: { amount, currency: invoice.currency } }
      const ask = () => api.POST('/c/{clinic}/payments/invoices/{id}/refunds', { params, body: wish })
      const asked = await withProof(() => body(ask()))
      if (asked.invoice.card?.pending) await settle()
    })

  async function print(kind: 'invoice' | 'receipt') {
    const query = { kind }
    const asked = api.GET('/c/{clinic}/payments/invoices/{id}/document', {
      params: { ...params, query },
      parseAs: 'blob',
    })
    const { data, response } = await asked
    if (response.ok && data) saveAs(data as unknown as Blob, `${kind}-${invoice.number}.pdf`)
    else setSetback('failed')
  }

  return (
    <article className="card stack close" aria-labelledby={`invoice-${invoice.id}`}>
      <div className="row spread">
        <h2 id={`invoice-${invoice.id}`}>
          {timeText(invoice.visit.start, zone)} · {invoice.patient?.name}
        </h2>
        <span className={invoice.status === 'issued' ? 'chip warm' : 'chip good'}>
          {t(`payments.status.${invoice.status}`)}
        </span>
      </div>
      <p className="soft">
        {t('payments.number', { number: String(invoice.number) })} · {invoice.visit.service.name}
        {card && ` · ${t(`payments.card.${card.state}`)}`}
        {card?.pending && ` · ${t('payments.card.pending')}`}
      </p>
      <dl className="facts">
        <dt>{t(invoice.estimate ? 'payments.estimate' : 'payments.charged')}</dt>
        <dd>{money(invoice.charged)}</dd>
        <dt>{t('payments.paid')}</dt>
        <dd>{money(invoice.paid)}</dd>
        <dt>{t('payments.refunded')}</dt>
        <dd>{money(invoice.refunded)}</dd>
        <dt>{t('payments.owed')}</dt>
        <dd>{money(invoice.owed)}</dd>
      </dl>
      {setback && <Notice tone="bad" title={t(`payments.setback.${setback}`)} />}
      {open === 'pay' && (
        <AmountForm
          amount={invoice.owed}
          methods={METHODS}
          busy={busy}
          onClose={() => setOpen(null)}
          onSubmit={pay}
        />
      )}
      {open === 'refund' && (
        <AmountForm
          amount={back.toFixed(invoice.paid.split('.')[1]?.length ?? 0)}
          busy={busy}
          onClose={() => setOpen(null)}
          onSubmit={(amount, _method, id) => refund(amount, id)}
        />
      )}
      <div className="row">
        {owes && card?.state !== 'authorised' && hasRole(session, 'front-desk', 'billing') && (
          <Button onClick={() => setOpen('pay')}>{t('payments.pay')}</Button>
        )}
        {tries && hasRole(session, 'front-desk', 'billing') && (
          <Button busy={busy} onClick={() => void capture()}>
            {t(card?.state === 'authorised' ? 'payments.capture' : 'payments.charge')}
          </Button>
        )}
        {back > 0 && hasRole(session, 'billing', 'clinic-admin') && (
          <Button onClick={() => setOpen('refund')}>{t('payments.refund')}</Button>
        )}
        <Button onClick={() => void print('invoice')}>{t('payments.invoice')}</Button>
        {Number(invoice.paid) > 0 && (
          <Button onClick={() => void print('receipt')}>{t('payments.receipt')}</Button>
        )}
      </div>
    </article>
  )
}
