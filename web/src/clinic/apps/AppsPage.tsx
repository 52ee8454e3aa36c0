import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { RegisteredApp } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Dialog } from '../../design/Dialog'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { StaffPage } from '../StaffPage'
import { hasRole, useStaff } from '../staff'
import { NewApp } from './NewApp'
import { ProviderList } from './ProviderList'

interface Made {
  name: string
  id: string
  secret?: string | undefined
}

/** Apps that the clinic knows, and who else vouches for its staff. */
export function AppsPage() {
  const { api, clinic } = useClinicApi()
  const { session } = useStaff()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/oauth/clients', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)
  const [adding, setAdding] = useState(false)
  const [made, setMade] = useState<Made | null>(null)
  const administers = hasRole(session, 'clinic-admin')

  async function added(app: Made) {
    setAdding(false)
    setMade(app)
    await reload()
  }

  return (
    <StaffPage
      title={t('apps.title')}
      beside={
        administers && (
          <Button look="primary" onClick={() => setAdding(true)}>
            {t('apps.add')}
          </Button>
        )
      }
    >
      {made && (
        <Notice tone="good" title={t('apps.made', { name: made.name })}>
          <p>{t('apps.clientId')}</p>
          <p className="secret">{made.id}</p>
          {made.secret && (
            <>
              <p>{t('apps.secret')}</p>
              <p className="secret">{made.secret}</p>
            </>
          )}
          <Button onClick={() => setMade(null)}>{t('apps.kept')}</Button>
        </Notice>
      )}
      {adding && <NewApp onAdded={added} onClose={() => setAdding(false)} />}
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data?.clients.length === 0 && <p className="soft">{t('apps.none')}</p>}
      <ul className="stack">
        {data?.clients.map((app) => (
          <App key={app.id} app={app} administers={administers} onChanged={reload} />
        ))}
      </ul>
      <ProviderList administers={administers} />
    </StaffPage>
  )
}

interface Props {
  app: RegisteredApp
  administers: boolean
  onChanged: () => Promise<void>
}

function App({ app, administers, onChanged }: Props) {
  const { api, clinic } = useClinicApi()
  const [asking, setAsking] = useState(false)

  async function end() {
    setAsking(false)
    const params = { path: { clinic, id: app.id } }
    await api.DELETE('/c/{clinic}/auth/oauth/clients/{id}', { params }).catch(() => undefined)
    await onChanged()
  }

  return (
    <li className="card stack close">
      <div className="row spread">
        <h2>{app.name}</h2>
        {app.endedAt ? (
          <span className="chip warm">{t('apps.ended')}</span>
        ) : (
          <span className="chip">{t(`apps.kind.${app.kind}`)}</span>
        )}
      </div>
      <p className="soft secret">{app.id}</p>
      <p className="soft">{app.scopes}</p>
      {administers && !app.endedAt && (
        <div className="row">
          <Button aria-label={t('apps.endNamed', { name: app.name })} onClick={() => setAsking(true)}>
            {t('apps.end')}
          </Button>
        </div>
      )}
      {asking && (
        <Dialog title={t('apps.endNamed', { name: app.name })} onClose={() => setAsking(false)}>
          <p>{t('apps.end.body')}</p>
          <div className="row">
            <Button look="danger" onClick={() => void end()}>
              {t('apps.end')}
            </Button>
            <Button look="plain" onClick={() => setAsking(false)}>
              {t('people.cancel')}
            </Button>
          </div>
        </Dialog>
      )}
    </li>
  )
}
