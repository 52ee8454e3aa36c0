import { useCallback, useState } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { body } from '../api/client'
import { useLoaded } from '../api/useLoaded'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { saveAs } from '../design/saveAs'
import { Unreachable } from '../design/Unreachable'
import { language, t } from '../i18n/text'
import { moneyText } from '../i18n/time'

const KINDS = ['invoice', 'receipt'] as const

/** What the visit costs and how far it is paid, with invoice and receipt to keep. */
export function VisitInvoice() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/payments/visit-invoice', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const loaded = useLoaded(load)
  const { data } = loaded
  const [failed, setFailed] = useState(false)
  if (!data) return <Unreachable loaded={loaded} />
  const { invoice } = data
  const money = (amount: string) => moneyText({ amount, currency: invoice.currency })

  async function save(kind: (typeof KINDS)[number]) {
    setFailed(false)
    const asked = await api
      .GET('/c/{clinic}/payments/visit-invoice/document', {
        params: { path: { clinic }, query: { kind, language: language() } },
        parseAs: 'blob',
      })
      .catch(() => null)
    const file = asked?.response.ok ? (asked.data as unknown as Blob) : null
    if (file) saveAs(file, `${kind}-${invoice.number}.pdf`)
    else setFailed(true)
  }

  return (
    <section className="card stack" aria-labelledby="visit-invoice">
      <h2 id="visit-invoice">{t('invoice.title')}</h2>
      <dl className="facts">
        <dt>{t(invoice.estimate ? 'invoice.estimate' : 'invoice.charged')}</dt>
        <dd>{money(invoice.charged)}</dd>
        <dt>{t('invoice.paid')}</dt>
        <dd>{money(invoice.paid)}</dd>
        {Number(invoice.refunded) > 0 && (
          <>
            <dt>{t('invoice.refunded')}</dt>
            <dd>{money(invoice.refunded)}</dd>
          </>
        )}
      </dl>
      {invoice.card?.state === 'authorised' && <p>{t('invoice.authorised')}</p>}
      {invoice.card?.state === 'saved' && <p>{t('invoice.saved')}</p>}
      {invoice.card?.state === 'declined' && <p>{t('invoice.declined')}</p>}
      {failed && <Notice tone="bad" title={t('network.unreachable')} />}
      <div className="row">
        {KINDS.filter((kind) => kind === 'invoice' || Number(invoice.paid) > 0).map((kind) => (
          <Button key={kind} onClick={() => void save(kind)}>
            {t(`invoice.${kind}`)}
          </Button>
        ))}
      </div>
    </section>
  )
}
