import { useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasSlug } from '../../api/problem'
import type { ReviewItem as Item } from '../../api/types'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { instantText } from '../../i18n/time'

const RESULTS = ['justified', 'follow-up', 'violation'] as const
type Result = (typeof RESULTS)[number]

interface Props {
  item: Item
  zone: string
  onSigned: () => Promise<void>
}

export function ReviewItem({ item, zone, onSigned }: Props) {
  const { api, clinic } = useClinicApi()
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<'own' | 'signed' | 'failed' | null>(null)
  const { event, rule, reason, review, patients } = item

  async function sign(result: Result) {
    if (busy) return
    setBusy(true)
    setFailure(null)
    try {
      const params = { path: { clinic } }
      await body(api.POST('/c/{clinic}/audit/reviews', { params, body: { item: item.id, result } }))
      await onSigned()
    } catch (error) {
      const own = hasSlug(error, 'own-access')
      setFailure(own ? 'own' : hasSlug(error, 'reviewed-already') ? 'signed' : 'failed')
    } finally {
      setBusy(false)
    }
  }

  return (
    <li className="card stack close">
      <div className="row spread">
        <h2>{t(`reviews.rule.${rule}`)}</h2>
        <span className={rule === 'sample' ? 'chip' : 'chip warm'}>{event.code}</span>
      </div>
      <p>
        {t('reviews.what', {
          user: event.agent.name ?? event.agent.type,
          patient: event.patient?.name ?? '–',
          time: instantText(event.recorded, zone),
        })}
      </p>
      {patients !== undefined && <p>{t('reviews.patients', { count: patients })}</p>}
      {reason && <p className="message-body">{t('reviews.reason', { reason })}</p>}
      {failure && <Notice tone="bad" title={t(`reviews.${failure}`)} />}
      {review ? (
        <p className="soft">
          {t('reviews.signedBy', {
            result: t(`reviews.result.${review.result}`),
            name: review.reviewer,
            time: instantText(review.at, zone),
          })}
        </p>
      ) : (
        <div className="row">
          {RESULTS.map((result) => (
            <Button key={result} busy={busy} onClick={() => void sign(result)}>
              {t(`reviews.result.${result}`)}
            </Button>
          ))}
        </div>
      )}
    </li>
  )
}
