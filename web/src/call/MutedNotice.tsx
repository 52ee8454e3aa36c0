import { useLocalParticipant } from '@livekit/components-react'
import { useEffect } from 'react'
import { Notice } from '../design/Notice'
import { t } from '../i18n/text'

/** Tells somebody that it was not they who switched their microphone off, until it is on again. */
export function MutedNotice({ onSpeak }: { onSpeak: () => void }) {
  const { isMicrophoneEnabled } = useLocalParticipant()

  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each time that it is on.
  useEffect(() => {
    if (isMicrophoneEnabled) onSpeak()
  }, [isMicrophoneEnabled])

  return <Notice tone="warm" title={t('call.mutedYou')} />
}
