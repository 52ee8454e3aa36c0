import { useEffect, useRef, useState } from 'react'
import type { CallLine, Message } from './encryption/CallLine'
import type { CallPerson } from './people'
import type { Call } from './useCall'

export const MUTE_TOPIC = 'locum.mute'

interface Muting {
  /** A clinician muted this person, who has not spoken since. */
  muted: boolean
  /** Asks somebody's page to mute them. A microphone is opened by its owner alone. */
  mute: (participant: string) => void
  /** This person's microphone is on again. */
  speak: () => void
}

/**
 * Clinicians mute others inside the encryption: tokens that let them do it at a media node would tell the node who they
 * are, and people of one call may be at several nodes. Who is a clinician, the clinic says.
 */
export function useMuting(encryption: CallLine, call: Call, people: readonly CallPerson[]): Muting {
  const [muted, setMuted] = useState(false)
  const now = useRef({ call, people })
  now.current = { call, people }
  useEffect(
    () =>
      encryption.listen((message) => {
        const { call, people } = now.current
        if (!mutes(message, call.room.localParticipant.identity, people)) return
        void call.setMicrophone(false).then(() => setMuted(true))
      }),
    [encryption],
  )
  const mute = (participant: string) => {
    // When it does not arrive, the person is still shown as heard, and can be muted again.
    const content = Uint8Array.from(new TextEncoder().encode(participant))
    void encryption.send(call.room, MUTE_TOPIC, content).catch(() => undefined)
  }
  return { muted, mute, speak: () => setMuted(false) }
}

/** Whether a message mutes `me`. */
export function mutes(
  { sender, topic, content }: Message,
  me: string,
  people: readonly CallPerson[],
): boolean {
  const mayMute = people.some(({ participant, role }) => participant === sender && role === 'clinician')
  return topic === MUTE_TOPIC && mayMute && new TextDecoder().decode(content) === me
}
