import type { Clinic, Confirmation, Hold } from '../api/types'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'
import { moneyText } from '../i18n/time'
import { VisitFacts } from './VisitFacts'

interface Props {
  clinic: Clinic
  hold: Hold
  confirmation: Confirmation
  email: string
  /** How it is paid: `pay` at the clinic, or by card. */
  paid: 'pay' | 'authorised' | 'saved'
}

export function Booked({ clinic, hold, confirmation, email, paid }: Props) {
  return (
    <>
      <Notice tone="good" title={t('booking.sent.notice')}>
        <p>{email ? t('booking.sent.body', { email: email.trim() }) : t('booking.sent.known')}</p>
      </Notice>
      <section className="card stack">
        <VisitFacts clinicZone={clinic.timeZone} visit={hold} />
        <p>{t(`booking.sent.${paid}`, { amount: moneyText(confirmation.invoice) })}</p>
      </section>
      <section className="stack close">
        <h2>{t('booking.sent.next')}</h2>
        <ol className="next">
          <li>{t('booking.sent.next.1')}</li>
          <li>{t('booking.sent.next.2')}</li>
          <li>{t('booking.sent.next.3')}</li>
        </ol>
      </section>
    </>
  )
}
