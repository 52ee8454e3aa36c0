import { useAudioPlayback } from '@livekit/components-react'
import { Button } from '../design/Button'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'

/** Browsers keep a page silent until it was touched once, for instance after a reload in the middle of a call. */
export function SoundGate() {
  const { canPlayAudio, startAudio } = useAudioPlayback()
  if (canPlayAudio) return null
  return (
    <Notice tone="warm" title={t('call.silent')}>
      <Button look="primary" onClick={() => void startAudio()}>
        {t('call.silent.start')}
      </Button>
    </Notice>
  )
}
