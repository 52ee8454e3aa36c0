import { Page } from './design/Page'
import { t } from './i18n/text'
import { Link } from './Link'

export function NotFoundPage() {
  return (
    <Page name={t('product.name')} title={t('notFound.title')} narrow>
      <p>{t('notFound.body')}</p>
      <p>
        <Link href="/">{t('notFound.home')}</Link>
      </p>
    </Page>
  )
}
