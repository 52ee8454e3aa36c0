import { t } from '../i18n/text'

export function Loading({ label = t('page.loading') }: { label?: string }) {
  return (
    <p className="waiting" role="status">
      {label}
    </p>
  )
}
