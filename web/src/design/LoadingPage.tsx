import { t } from '../i18n/text'
import { Loading } from './Loading'
import { Page } from './Page'

export function LoadingPage() {
  return (
    <Page name={t('product.name')} title={t('page.loading')} narrow>
      <Loading />
    </Page>
  )
}
