import { useRemoteParticipants, useRoomContext } from '@livekit/components-react'
import { useEffect } from 'react'
import { t } from '../i18n/text'
import { type CallPerson, type Expected, nameOf, whoIsHere } from './people'
import { RemotePerson } from './RemotePerson'
import { SelfView } from './SelfView'

interface Props {
  expected: Expected
  people: readonly CallPerson[]
  /** Somebody is seen of whom the clinic has not told yet. */
  onStranger: () => void
  /** Mutes somebody; `null` for who may not. */
  onMute: ((participant: string) => void) | null
  connected: boolean
  soundOnly: boolean
}

/** The other side large, oneself small. */
export function CallStage({ expected, people, onStranger, onMute, connected, soundOnly }: Props) {
  const others = useRemoteParticipants()
  const participants = others.map(({ identity }) => identity)
  const stranger = participants.find((one) => !people.some(({ participant }) => participant === one))
  const { name } = expected
  const here = whoIsHere(participants, people, expected)
  // In a move people and tracks have the same ids at both nodes, and the components tell them by these: what is shown of
  // one room must not be taken for the other's.
  const stay = useRoomContext().localParticipant.sid

  // biome-ignore lint/correctness/useExhaustiveDependencies: once for each stranger.
  useEffect(() => {
    if (stranger) onStranger()
  }, [stranger])

  return (
    <section className="stage" aria-label={t('call.stage')}>
      <p className="unseen" role="status">
        {connected && (here ? t('call.here', { name: here }) : t('call.notHere', { name }))}
      </p>
      {others.length === 0 ? (
        <p className="stage-empty">{connected ? t('call.notHere', { name }) : t('call.connecting')}</p>
      ) : (
        <div className="stage-people" data-count={others.length}>
          {others.map((person) => (
            <RemotePerson
              key={`${stay} ${person.identity}`}
              participant={person}
              name={nameOf(person.identity, people, expected)}
              soundOnly={soundOnly}
              onMute={onMute && (() => onMute(person.identity))}
            />
          ))}
        </div>
      )}
      <SelfView />
    </section>
  )
}
