import type { MediaNode } from './race'

/**
 * Permission to enter one call, and the nodes to try, best first. While hosts are upgraded one of the release before may
 * give it, which says neither `urls` nor `running`.
 */
export interface Grant {
  token: string
  nodes: { id: string; url: string; urls?: string[] }[]
  /** Somebody else is in the call, at whichever node. */
  running?: boolean
}

/** A grant with the nodes as this browser tries them. */
export interface Plan {
  token: string
  nodes: MediaNode[]
}

/** What a person is to be told of their line. */
export type Phase = 'joining' | 'connected' | 'moving' | 'reconnecting' | 'failed'

/** The order of the grant. */
export function asTold({ token, nodes }: Grant): Plan {
  return { token, nodes: nodes.map(({ id, url, urls = [url] }) => ({ id, urls })) }
}
