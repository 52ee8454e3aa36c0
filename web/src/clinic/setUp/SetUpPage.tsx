import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { StaffPage } from '../StaffPage'
import { SetUpForm } from './SetUpForm'
import './setUp.css'

/** What the clinic is: sites, services, hours, days that are not like others; and what is missing to open. */
export function SetUpPage() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/set-up', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)
  return (
    <StaffPage title={t('setUp.title')}>
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data && (
        <>
          <section className="card stack close" aria-labelledby="checklist">
            <h2 id="checklist">{t(data.open ? 'setUp.open' : 'setUp.closed')}</h2>
            <ul className="stack tight">
              {data.checklist.map(({ item, done }) => (
                <li key={item} className="row">
                  <span className={done ? 'chip good' : 'chip warm'}>
                    {t(done ? 'setUp.done' : 'setUp.missing')}
                  </span>
                  {t(`setUp.item.${item}`)}
                </li>
              ))}
            </ul>
          </section>
          <SetUpForm key={data.version} kept={data} onSaved={reload} />
        </>
      )}
    </StaffPage>
  )
}
