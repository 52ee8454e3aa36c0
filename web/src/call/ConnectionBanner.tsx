import { useConnectionState } from '@livekit/components-react'
import { ConnectionState } from 'livekit-client'
import type { Phase } from 'locum-call'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'

/** Says how the connection is, only when it is not well. */
export function ConnectionBanner({ phase, onRetry }: { phase: Phase; onRetry: () => void }) {
  const state = useConnectionState()
  if (phase === 'failed') {
    return (
      <Notice tone="bad" title={t('call.failed')}>
        <p>{t('call.failed.help')}</p>
        <Button onClick={onRetry}>{t('call.retry')}</Button>
      </Notice>
    )
  }
  // Picture and sound go on.
  if (phase === 'moving') return <Notice title={t('call.moving')} />
  // While only the signalling socket is being replaced, picture and sound still flow: nothing to say.
  if (phase === 'reconnecting' || state === ConnectionState.Reconnecting) {
    return (
      <Notice tone="warm" title={t('call.reconnecting')}>
        <p>{t('call.reconnecting.help')}</p>
      </Notice>
    )
  }
  return null
}
