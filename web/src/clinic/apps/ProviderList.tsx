import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { NewProvider } from './NewProvider'

/** Who else vouches for staff, as an administrator named them. */
export function ProviderList({ administers }: { administers: boolean }) {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/identity-providers', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)
  const [adding, setAdding] = useState(false)
  const [back, setBack] = useState<string | null>(null)

  async function remove(id: string) {
    const params = { path: { clinic, id } }
    await api.DELETE('/c/{clinic}/auth/identity-providers/{id}', { params }).catch(() => undefined)
    await reload()
  }

  async function added(redirectUri: string) {
    setAdding(false)
    setBack(redirectUri)
    await reload()
  }

  return (
    <section className="card stack" aria-labelledby="providers">
      <h2 id="providers">{t('providers.title')}</h2>
      <p className="soft">{t('providers.body')}</p>
      {error !== null && <Notice tone="bad" title={t('network.unreachable')} />}
      {back && (
        <Notice tone="good" title={t('providers.made')}>
          <p>{t('providers.redirect')}</p>
          <p className="secret">{back}</p>
        </Notice>
      )}
      <ul className="rows">
        {data?.providers.map((provider) => (
          <li key={provider.id} className="row spread">
            <span>
              <strong>{provider.name}</strong> <span className="soft">{provider.issuer}</span>
            </span>
            {administers && (
              <Button
                aria-label={t('factor.removeNamed', { name: provider.name })}
                onClick={() => void remove(provider.id)}
              >
                {t('factor.remove')}
              </Button>
            )}
          </li>
        ))}
      </ul>
      {adding && <NewProvider onAdded={added} onClose={() => setAdding(false)} />}
      {administers && (
        <div className="row">
          <Button onClick={() => setAdding(true)}>{t('providers.add')}</Button>
        </div>
      )}
    </section>
  )
}
