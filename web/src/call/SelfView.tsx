import { useLocalParticipant, VideoTrack } from '@livekit/components-react'
import { Track } from 'livekit-client'
import { t } from '../i18n/text'

/** What the others see of this person, mirrored; nothing when nothing is sent. */
export function SelfView() {
  const { localParticipant: participant, cameraTrack, isCameraEnabled } = useLocalParticipant()
  return (
    <div className="self">
      {cameraTrack && isCameraEnabled ? (
        <VideoTrack
          trackRef={{ participant, publication: cameraTrack, source: Track.Source.Camera }}
          className="self-video"
          aria-label={t('call.selfLabel')}
        />
      ) : (
        <p className="self-off">{t('call.selfOff')}</p>
      )}
    </div>
  )
}
