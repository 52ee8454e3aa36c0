import { useEffect } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { Link } from '../Link'
import { forgetVisit } from './invitation'

export function VisitOver() {
  const { clinic } = useClinicApi()

  useEffect(() => forgetVisit(clinic), [clinic])

  return (
    <Page name={t('product.name')} title={t('over.title')} narrow>
      <p>{t('over.body')}</p>
      <p>
        <Link className="button" href={`/c/${clinic}`}>
          {t('over.book')}
        </Link>
      </p>
    </Page>
  )
}
