import { type ReactNode, useMemo } from 'react'
import { ClinicApiContext } from './api/ClinicApi'
import { apiClient } from './api/client'
import { discover } from './api/network'
import { useLoaded } from './api/useLoaded'
import { Button } from './design/Button'
import { Loading } from './design/Loading'
import { Notice } from './design/Notice'
import { Page } from './design/Page'
import { t } from './i18n/text'
import { NotFoundPage } from './NotFoundPage'

/** Finds the network's APIs before a page that needs them. */
export function ClinicGate({ clinic, children }: { clinic: string; children: ReactNode }) {
  const network = useLoaded(discover)
  const value = useMemo(() => {
    if (!network.data) return null
    const { apis, clockOffsetMs } = network.data
    return { api: apiClient(apis), clinic, clockOffsetMs }
  }, [network.data, clinic])

  if (network.data && !network.data.clinics.includes(clinic)) return <NotFoundPage />
  if (value) return <ClinicApiContext value={value}>{children}</ClinicApiContext>
  return (
    <Page name={t('product.name')} title={network.error ? t('network.title') : t('page.loading')} narrow>
      {network.error ? (
        <Notice tone="bad" title={t('network.unreachable')}>
          <Button onClick={() => void network.reload()}>{t('page.tryAgain')}</Button>
        </Notice>
      ) : (
        <Loading />
      )}
    </Page>
  )
}
