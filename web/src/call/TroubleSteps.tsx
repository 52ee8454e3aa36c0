import { t } from '../i18n/text'
import type { Trouble } from './devices'

/** What a person can do about it, in the order in which they would. */
export function TroubleSteps({ trouble }: { trouble: Trouble }) {
  if (trouble === 'denied') {
    return (
      <ol>
        <li>{t('trouble.denied.1')}</li>
        <li>{t('trouble.denied.2')}</li>
        <li>{t('trouble.denied.3')}</li>
      </ol>
    )
  }
  return <p>{t(`trouble.${trouble}.help`)}</p>
}
