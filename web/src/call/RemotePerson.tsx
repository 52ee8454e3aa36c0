import { useParticipantTracks, VideoTrack } from '@livekit/components-react'
import { type RemoteParticipant, Track } from 'livekit-client'
import { Icon } from '../design/Icon'
import { t } from '../i18n/text'

interface Props {
  participant: RemoteParticipant
  name: string
  /** Pictures are not asked for. */
  soundOnly: boolean
  onMute: (() => void) | null
}

/** Somebody else in the call: their picture, or in words that there is none. */
export function RemotePerson({ participant, name, soundOnly, onMute }: Props) {
  const [camera] = useParticipantTracks([Track.Source.Camera], participant.identity)
  const [screen] = useParticipantTracks([Track.Source.ScreenShare], participant.identity)
  const [microphone] = useParticipantTracks([Track.Source.Microphone], participant.identity)
  // Not the components' own indicator: it goes on watching the stay before, when this person has another at the same node.
  const isMuted = microphone?.publication.isMuted ?? false
  const seen = camera && !camera.publication.isMuted && camera.publication.isSubscribed
  return (
    <figure className="remote" data-screen={screen !== undefined}>
      {screen && <VideoTrack trackRef={screen} className="remote-screen" />}
      {seen ? (
        <VideoTrack trackRef={camera} className="remote-video" />
      ) : (
        <p className="stage-empty">{t(soundOnly ? 'call.soundOnly.on' : 'call.cameraOff', { name })}</p>
      )}
      {onMute && microphone && !isMuted && (
        <button
          type="button"
          className="mute-other"
          aria-label={t('call.muteOther', { name })}
          onClick={onMute}
        >
          <Icon name="microphoneOff" />
          {t('call.mute')}
        </button>
      )}
      <figcaption className="caption">
        {name}
        {isMuted && (
          <>
            <Icon name="microphoneOff" />
            <span className="small">{t('call.mutedOther')}</span>
          </>
        )}
      </figcaption>
    </figure>
  )
}
