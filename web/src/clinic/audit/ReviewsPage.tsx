import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { Select } from '../../design/Select'
import { t } from '../../i18n/text'
import { instantText } from '../../i18n/time'
import { StaffPage } from '../StaffPage'
import { hasRole, useStaff } from '../staff'
import { OversightForm } from './OversightForm'
import { ReviewItem } from './ReviewItem'
import { Sources } from './Sources'

const DAYS = ['1', '7', '31'] as const

/** What is unusual among the accesses, until somebody has looked at it. */
export function ReviewsPage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const zone = session.clinic.timeZone
  const [days, setDays] = useState<string>('7')
  const [state, setState] = useState<'open' | 'all'>('open')
  const load = useCallback(() => {
    const query = { days: Number(days), state }
    return body(api.GET('/c/{clinic}/audit/reviews', { params: { path: { clinic }, query } }))
  }, [api, clinic, days, state])
  const { data, error, reload } = useLoaded(load)

  return (
    <StaffPage title={t('reviews.title')}>
      <p className="soft">{t('reviews.body')}</p>
      <div className="filters">
        <Select
          label={t('reviews.days')}
          value={days}
          onChange={setDays}
          options={DAYS.map((count) => [count, t(`reviews.days.${count}`)])}
        />
        <Select
          label={t('reviews.state')}
          value={state}
          onChange={(value) => setState(value === 'all' ? 'all' : 'open')}
          options={[
            ['open', t('reviews.state.open')],
            ['all', t('reviews.state.all')],
          ]}
        />
      </div>
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('audit.none')} />)}
      {data && (
        <>
          <Sources sources={data.sources} />
          <p className="small soft">
            {t('reviews.completeFrom', { time: instantText(data.completeFrom, zone) })}
          </p>
          {data.items.length === 0 && <p>{t('reviews.empty')}</p>}
          <ul className="stack">
            {data.items.map((item) => (
              <ReviewItem key={item.id} item={item} zone={zone} onSigned={reload} />
            ))}
          </ul>
        </>
      )}
      {hasRole(session, 'clinic-admin') && <OversightForm />}
    </StaffPage>
  )
}
