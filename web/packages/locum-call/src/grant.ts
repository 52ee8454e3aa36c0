import type { MediaNode } from './race'

/**
 * Permission to enter one call, and the nodes to try, best first. While hosts are upgraded one of the release before may
 * give it, which says neither `urls` nor `running`.
 */
export interface Grant {
  token: string
  nodes: { id: string; url: string; urls?: string[] }[]
  /** When the token ends, as RFC 3339. */
  expiresAt?: string
  /** Somebody else is in the call, at whichever node. */
  running?: boolean
}

/** A grant with the nodes as this browser tries them. */
export interface Plan {
  token: string
  nodes: MediaNode[]
  /** When the token ends, by the clinic's clock. */
  endsAtMs?: number
}

/** What a person is to be told of their line. */
export type Phase = 'joining' | 'connected' | 'moving' | 'reconnecting' | 'failed'

/** The order of the grant. */
export function asTold({ token, nodes, expiresAt }: Grant): Plan {
  const endsAtMs = Date.parse(expiresAt ?? '')
  const plan = { token, nodes: nodes.map(({ id, url, urls = [url] }) => ({ id, urls })) }
  return Number.isNaN(endsAtMs) ? plan : { ...plan, endsAtMs }
}
