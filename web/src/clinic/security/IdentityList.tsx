import { useCallback, useState } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { useProof } from '../proof'

/** Accounts elsewhere that open one's own. Where nobody else vouches for staff, nothing is shown. */
export function IdentityList() {
  const { api, clinic } = useClinicApi()
  const withProof = useProof()
  const load = useCallback(async () => {
    const params = { path: { clinic } }
    const [options, own] = await Promise.all([
      body(api.GET('/c/{clinic}/auth/sign-in-options', { params })),
      body(api.GET('/c/{clinic}/auth/external-identities', { params })),
    ])
    return options.providers.map((provider) => ({
      ...provider,
      linked: own.identities.some((identity) => identity.provider === provider.id),
    }))
  }, [api, clinic])
  const { data, reload } = useLoaded(load)
  const [failed, setFailed] = useState(false)

  async function link(provider: string) {
    setFailed(false)
    try {
      const params = { path: { clinic } }
      const { url } = await withProof(() =>
        body(api.POST('/c/{clinic}/auth/external-identities', { params, body: { provider } })),
      )
      location.assign(url)
    } catch {
      setFailed(true)
    }
  }

  async function unlink(id: string) {
    const params = { path: { clinic, id } }
    await api.DELETE('/c/{clinic}/auth/external-identities/{id}', { params }).catch(() => undefined)
    await reload()
  }

  if (!data || data.length === 0) return null
  return (
    <section className="card stack" aria-labelledby="identities">
      <h2 id="identities">{t('identities.title')}</h2>
      {failed && <Notice tone="bad" title={t('people.failed')} />}
      <ul className="rows">
        {data.map(({ id, name, linked }) => (
          <li key={id} className="row spread">
            <strong>{name}</strong>
            {linked ? (
              <Button onClick={() => void unlink(id)}>{t('identities.unlink', { name })}</Button>
            ) : (
              <Button onClick={() => void link(id)}>{t('identities.link', { name })}</Button>
            )}
          </li>
        ))}
      </ul>
    </section>
  )
}
