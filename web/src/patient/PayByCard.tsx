import { type SyntheticEvent, useEffect, useRef, useState } from 'react'
import type { CardPayment } from '../api/types'
import { Button } from '../design/Button'
import { Loading } from '../design/Loading'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { type CardElement, type CardProvider, loadProvider } from './cardFields'
import type { PaymentSetback } from './useBooking'

interface Props {
  payment: CardPayment
  setback: PaymentSetback | null
  /** The time is no longer held. */
  blocked: boolean
  /** Asks the clinic how far the payment is. */
  onPaid: () => Promise<void>
}

/** The provider's own field for the card, and what comes of it. */
export function PayByCard({ payment, setback, blocked, onPaid }: Props) {
  const place = useRef<HTMLDivElement>(null)
  const [fields, setFields] = useState<{ provider: CardProvider; card: CardElement } | null>(null)
  const [unreachable, setUnreachable] = useState(false)
  const [busy, setBusy] = useState(false)
  const { script, publishableKey } = payment.card

  useEffect(() => {
    let card: CardElement | null = null
    let gone = false
    loadProvider(script, publishableKey)
      .then((provider) => {
        if (gone || !place.current) return
        card = provider.elements().create('card')
        card.mount(place.current)
        setFields({ provider, card })
      })
      .catch(() => setUnreachable(true))
    return () => {
      gone = true
      card?.destroy()
    }
  }, [script, publishableKey])

  async function pay(event: SyntheticEvent) {
    event.preventDefault()
    if (!fields || busy || blocked) return
    setBusy(true)
    const { provider, card } = fields
    const confirm = payment.kind === 'setup' ? provider.confirmCardSetup : provider.confirmCardPayment
    // Whatever it says, the clinic asks the provider itself.
    await confirm.call(provider, payment.clientSecret, { payment_method: { card } }).catch(() => undefined)
    await onPaid()
    setBusy(false)
  }

  return (
    <form className="stack wide" noValidate onSubmit={pay}>
      <p>{t(payment.kind === 'setup' ? 'pay.card.later' : 'pay.card.now')}</p>
      {setback && <Notice tone="bad" title={t(`pay.setback.${setback}`)} />}
      {unreachable && <Notice tone="bad" title={t('pay.unreachable')} />}
      {!fields && !unreachable && <Loading />}
      <fieldset className="field">
        <legend>{t('pay.card.field')}</legend>
        <div ref={place} className="input card-field" />
      </fieldset>
      <Button type="submit" look="primary" size="full" busy={busy} disabled={!fields || blocked}>
        {busy ? t('pay.card.busy') : t('pay.card.pay')}
      </Button>
      <p className="small soft">{t('pay.card.private')}</p>
    </form>
  )
}
