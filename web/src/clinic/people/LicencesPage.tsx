import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { plural, t } from '../../i18n/text'
import { dateText } from '../../i18n/time'
import { StaffPage } from '../StaffPage'
import { hasRole, useStaff } from '../staff'
import { NewLicence } from './NewLicence'

const CHIPS = { valid: 'chip good', future: 'chip', 'ends-soon': 'chip warm', expired: 'chip warm' } as const

/** Where clinicians may practise, and until when; what ends first stands first. */
export function LicencesPage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const administers = hasRole(session, 'clinic-admin')
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/licences', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)
  const [adding, setAdding] = useState(false)
  const ending = data?.licences.filter(({ state }) => state === 'ends-soon' || state === 'expired') ?? []

  async function remove(id: string) {
    await body(api.DELETE('/c/{clinic}/auth/licences/{id}', { params: { path: { clinic, id } } })).catch(
      () => undefined,
    )
    await reload()
  }

  return (
    <StaffPage
      title={t('licences.title')}
      beside={
        administers && (
          <Button look="primary" onClick={() => setAdding(true)}>
            {t('licences.add')}
          </Button>
        )
      }
    >
      {adding && (
        <NewLicence
          onAdded={async () => {
            setAdding(false)
            await reload()
          }}
          onClose={() => setAdding(false)}
        />
      )}
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('people.none')} />)}
      {ending.length > 0 && <Notice tone="warm" title={plural('licences.ending', ending.length)} />}
      {data?.licences.length === 0 && <p>{t('licences.empty')}</p>}
      <ul className="stack">
        {data?.licences.map((licence) => (
          <li key={licence.id} className="card stack close">
            <div className="row spread">
              <h2>{licence.name}</h2>
              <span className={CHIPS[licence.state]}>{t(`licences.state.${licence.state}`)}</span>
            </div>
            <p>
              {licence.jurisdiction} · {licence.number}
            </p>
            <p className="soft">
              {dateText(licence.validFrom)} – {dateText(licence.validUntil)}
            </p>
            {administers && (
              <div className="row">
                <Button
                  aria-label={`${t('licences.remove')}: ${licence.name}, ${licence.jurisdiction}`}
                  onClick={() => void remove(licence.id)}
                >
                  {t('licences.remove')}
                </Button>
              </div>
            )}
          </li>
        ))}
      </ul>
    </StaffPage>
  )
}
