import E2eeWorker from 'livekit-client/e2ee-worker?worker'
import { guarded, type Message } from './guard'

/** See {@link guardWorker}. */
export interface GuardedWorker {
  worker: Worker
  /** What may be clear has changed: the worker is told again of these people. */
  reconsider: (people: Iterable<string>) => void
}

/**
 * The SDK's worker, which en- and decrypts frames, without what a media node could tell it: that somebody's tracks are
 * not encrypted, or by which ending frames of the node itself are known. Such frames would be shown as they come.
 */
export function guardWorker(mayBeClear: () => boolean): GuardedWorker {
  const worker = new E2eeWorker()
  const post = worker.postMessage.bind(worker) as (message: unknown, transfer: Transferable[]) => void
  const said = new Map<string, Message>()
  worker.postMessage = (message: Message, more?: Transferable[] | StructuredSerializeOptions) => {
    if (message.kind === 'enable') said.set(message.data?.participantIdentity ?? '', message)
    const allowed = guarded(message, mayBeClear())
    if (allowed) post(allowed, Array.isArray(more) ? more : (more?.transfer ?? []))
  }
  const reconsider = (people: Iterable<string>) => {
    for (const id of people) {
      const message = said.get(id)
      if (message) worker.postMessage(message)
    }
  }
  return { worker, reconsider }
}
