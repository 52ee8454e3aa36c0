import { useCallback, useEffect } from 'react'
import { useClinicApi } from '../../api/ClinicApi'
import { body } from '../../api/client'
import { hasStatus } from '../../api/problem'
import { useLoaded } from '../../api/useLoaded'
import { Button } from '../../design/Button'
import { Loading } from '../../design/Loading'
import { Notice } from '../../design/Notice'
import { Page } from '../../design/Page'
import { t } from '../../i18n/text'
import { navigate } from '../../routing'
import { useFragment } from '../../useFragment'

/** Where the link of somebody leads who acts for a patient. */
export function ProxyPage() {
  const { api, clinic } = useClinicApi()
  const token = useFragment(`locum.proxy.${clinic}`)
  const open = useCallback(async () => {
    const params = { path: { clinic } }
    await body(api.POST('/c/{clinic}/auth/proxy-sessions', { params, body: { token: token ?? '' } }))
    return true
  }, [api, clinic, token])
  const { data, error, reload } = useLoaded(token ? open : null)

  useEffect(() => {
    if (data) navigate(`/c/${clinic}/account`, 'replace')
  }, [data, clinic])

  const gone = !token || hasStatus(error, 404) || hasStatus(error, 410)
  return (
    <Page name={t('product.name')} title={t('account.link.title')} narrow>
      {gone ? (
        <Notice tone="bad" title={t('account.link.gone')} />
      ) : error === null ? (
        <Loading label={t('link.opening')} />
      ) : (
        <Notice tone="bad" title={t('network.unreachable')}>
          <Button onClick={() => void reload()}>{t('page.tryAgain')}</Button>
        </Notice>
      )}
    </Page>
  )
}
