import { useRemoteParticipants, useRoomContext } from '@livekit/components-react'
import { t } from '../i18n/text'
import { RemotePerson } from './RemotePerson'
import { SelfView } from './SelfView'

interface Props {
  other: string
  connected: boolean
  soundOnly: boolean
}

/** The other side large, oneself small. */
export function CallStage({ other, connected, soundOnly }: Props) {
  const people = useRemoteParticipants()
  // In a move people and tracks have the same ids at both nodes, and the components tell them by these: what is shown of
  // one room must not be taken for the other's.
  const stay = useRoomContext().localParticipant.sid
  return (
    <section className="stage" aria-label={t('call.stage')}>
      <p className="unseen" role="status">
        {connected &&
          (people.length > 0 ? t('call.here', { name: other }) : t('call.notHere', { name: other }))}
      </p>
      {people.length === 0 ? (
        <p className="stage-empty">{connected ? t('call.notHere', { name: other }) : t('call.connecting')}</p>
      ) : (
        <div className="stage-people" data-count={people.length}>
          {people.map((person) => (
            <RemotePerson
              key={`${stay} ${person.identity}`}
              participant={person}
              name={people.length === 1 ? other : null}
              soundOnly={soundOnly}
            />
          ))}
        </div>
      )}
      <SelfView />
    </section>
  )
}
