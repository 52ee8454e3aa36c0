export interface Message {
  kind: string
  data?: { participantIdentity?: string; enabled?: boolean }
}

/** What the SDK’s worker is told instead; `null`: nothing. `mayBeClear`: the person agreed to that. */
export function guarded(message: Message, mayBeClear: boolean): Message | null {
  switch (message.kind) {
    case 'setSifTrailer':
      return null
    case 'enable':
      return mayBeClear ? message : { ...message, data: { ...message.data, enabled: true } }
    default:
      return message
  }
}
