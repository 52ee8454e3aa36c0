import { useEffect } from 'react'
import { useClinicApi } from '../api/ClinicApi'
import { Page } from '../design/Page'
import { t } from '../i18n/text'
import { Link } from '../Link'
import { forgetVisit } from './invitation'
import { RecordAccess } from './RecordAccess'
import { VisitInvoice } from './VisitInvoice'

interface Props {
  withdrawn?: boolean
  /** By the patient, just now. */
  cancelled?: boolean
  /** Whoever was in the visit is still known here. */
  known?: boolean
}

/** The end of a link: with its visit, or `withdrawn` before. */
export function VisitOver({ withdrawn = false, cancelled = false, known = false }: Props) {
  const { clinic } = useClinicApi()

  useEffect(() => forgetVisit(clinic), [clinic])

  if (withdrawn) {
    return (
      <Page name={t('product.name')} title={t('withdrawn.title')} narrow>
        <p>{t('withdrawn.body')}</p>
      </Page>
    )
  }
  return (
    <Page name={t('product.name')} title={t(cancelled ? 'cancel.done' : 'over.title')} narrow>
      <p>{t(cancelled ? 'cancel.done.body' : 'over.body')}</p>
      <VisitInvoice />
      {known && <RecordAccess />}
      <p>
        <Link className="button" href={`/c/${clinic}`}>
          {t('over.book')}
        </Link>
      </p>
    </Page>
  )
}
