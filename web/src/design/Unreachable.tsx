import { isRefusal } from '../api/problem'
import type { Loaded } from '../api/useLoaded'
import { t } from '../i18n/text'
import { Button } from './Button'
import { Notice } from './Notice'

/** That something is not there because it could not be loaded. A refusal means that there is nothing to show. */
export function Unreachable({ loaded }: { loaded: Loaded<unknown> }) {
  if (loaded.error === null || isRefusal(loaded.error)) return null
  return (
    <Notice tone="bad" title={t('network.unreachable')}>
      <Button onClick={() => void loaded.reload()}>{t('page.tryAgain')}</Button>
    </Notice>
  )
}
