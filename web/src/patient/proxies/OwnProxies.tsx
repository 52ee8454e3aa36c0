import { useCallback } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import type { NewProxy } from '../../api/types'
import { useLoaded } from '../../api/useLoaded'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { t } from '../../i18n/text'
import { ProxyList } from './ProxyList'

/** Whom the patient lets act for them. */
export function OwnProxies() {
  const { api, clinic } = useClinicApi()
  const load = useCallback(
    () => body(api.GET('/c/{clinic}/auth/proxies', { params: { path: { clinic } } })),
    [api, clinic],
  )
  const { data, error, reload } = useLoaded(load)

  async function invite(asked: NewProxy) {
    await body(api.POST('/c/{clinic}/auth/proxies', { params: { path: { clinic } }, body: asked }))
    await reload()
  }

  async function revoke(id: string) {
    const params = { path: { clinic, id } }
    await body(api.POST('/c/{clinic}/auth/proxies/{id}/revoke', { params, body: {} }))
    await reload()
  }

  return (
    <section className="card stack" aria-labelledby="proxies">
      <h2 id="proxies">{t('proxies.title')}</h2>
      <p className="soft">{t('proxies.body')}</p>
      {!data && (error === null ? <Loading /> : <Notice tone="bad" title={t('network.unreachable')} />)}
      {data && <ProxyList proxies={data.proxies} onInvite={invite} onRevoke={revoke} />}
    </section>
  )
}
