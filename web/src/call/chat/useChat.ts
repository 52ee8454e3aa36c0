import type { Room } from 'livekit-client'
import { useEffect, useRef, useState } from 'react'
import type { CallLine } from '../encryption/CallLine'
import { Conversation } from './Conversation'
import { CHAT_TOPIC } from './message'

interface Chat {
  conversation: Conversation
  button: { open: boolean; unread: number; toggle: () => void }
}

/** The conversation beside a call, over whichever room the person is in. */
export function useChat(encryption: CallLine, room: Room): Chat {
  const [count, setCount] = useState(0)
  const [seen, setSeen] = useState(0)
  const [open, setOpen] = useState(false)
  const current = useRef(room)
  current.current = room
  const [conversation] = useState(() => {
    const made: Conversation = new Conversation(
      (content) => encryption.send(current.current, CHAT_TOPIC, content),
      () => setCount(made.entries.filter(({ sender }) => sender !== null).length),
    )
    return made
  })
  useEffect(
    () =>
      encryption.listen(({ sender, topic, content }) => {
        if (topic === CHAT_TOPIC) conversation.hear(sender, content)
      }),
    [encryption, conversation],
  )
  const unread = open ? 0 : Math.max(0, count - seen)
  const toggle = () => {
    setSeen(count)
    setOpen(!open)
  }
  return { conversation, button: { open, unread, toggle } }
}
