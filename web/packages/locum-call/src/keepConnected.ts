import { carryOver } from './carryOver'
import { asTold, type Grant, type Phase, type Plan } from './grant'
import { LostNodes } from './lostNodes'
import type { MediaNode } from './race'
import { renew } from './renewal'
import type { End, Stay } from './stay'

/** Where to connect, and with what. */
export interface Place {
  node: string
  url: string
  token: string
}

/** The world of one person's line, so that tests own time and network. */
export interface Line<S extends Stay> {
  /** Asks the clinic for a grant. */
  join: () => Promise<Grant>
  /** Measures nodes and orders them. */
  race: (nodes: MediaNode[]) => Promise<MediaNode[]>
  /** Enters at one node, with what is published at the stay `before`; fails when it cannot, or when `signal` aborts. */
  connect: (place: Place, before: S | null, signal: AbortSignal) => Promise<S>
  /** From now on the person sees and hears this stay. */
  show: (stay: S) => void
  /** Whether asking again cannot help: the visit is over, or the person was not admitted. */
  isFinal: (error: unknown) => boolean
  say: (phase: Phase) => void
  nowMs: () => number
  /** Milliseconds since 1970 by the clinic's clock. */
  clinicMs: () => number
  pause: (ms: number) => Promise<void>
}

const LONGEST_PAUSE_MS = 8_000
/** About a minute of trying: then the person decides. */
const ATTEMPTS = 12
const LOOK_EVERY_MS = 250

/**
 * Enters a call and stays in it until `signal` says to leave or the clinic refuses; rejects with the refusal. When a
 * node is lost or goes away it goes on at the next one with the same token, and asks for a fresh grant only when that
 * leads nowhere. The stay before is left when the next one has shown what it showed.
 */
export async function keepConnected<S extends Stay>(line: Line<S>, signal: AbortSignal): Promise<void> {
  const stays = new Set<S>()
  try {
    await new Keeper(line, signal, stays).run()
  } finally {
    for (const stay of stays) stay.leave()
  }
}

export function pauseMs(failures: number): number {
  return Math.min(LONGEST_PAUSE_MS, 250 * 2 ** failures)
}

class Keeper<S extends Stay> {
  #lost = new LostNodes()
  #plan: Plan | null = null
  #stay: S | null = null
  #end: End = { why: 'dismissed' }
  /** Of the way from one stay to the next: aborted when there is no reason to go on with it. */
  #way = new AbortController()
  #wayIsOver = aborted(this.#way.signal)
  #revived = false

  constructor(
    readonly line: Line<S>,
    readonly signal: AbortSignal,
    readonly stays: Set<S>,
  ) {
    signal.addEventListener('abort', () => this.#way.abort(), { once: true })
  }

  async run(): Promise<void> {
    const { line, signal } = this
    line.say('joining')
    let failures = 0
    let ask = true
    while (!signal.aborted) {
      if (ask) this.#plan = (await askFor(line, signal)) ?? this.#plan
      const stay = await this.#next()
      if (signal.aborted) return
      if (stay) {
        failures = 0
        ask = await this.#rest(stay)
      } else if (!ask) {
        ask = true
      } else {
        failures += 1
        if (failures >= ATTEMPTS) return line.say('failed')
        await Promise.race([line.pause(pauseMs(failures)), this.#wayIsOver])
      }
    }
  }

  /** Stays until that is over; whether the clinic has to be asked before going on. */
  async #rest(stay: S): Promise<boolean> {
    const { line, signal } = this
    this.#stay = stay
    line.say('connected')
    const over = new AbortController()
    if (this.#plan) {
      const { join, clinicMs, pause } = line
      void renew(this.#plan, { join: () => join(), clinicMs, pause }, over.signal, (plan) => {
        this.#plan = plan
        stay.renew(plan.token)
      })
    }
    const end = await stay.ends(signal)
    over.abort()
    if (signal.aborted) return false
    this.#end = end
    if (end.why !== 'stale') this.#lost.note(stay.node, line.nowMs())
    line.say(end.why === 'moving' ? 'moving' : 'reconnecting')
    const way = new AbortController()
    this.#way = way
    this.#wayIsOver = aborted(way.signal)
    this.#revived = false
    void stay.revives(end, way.signal).then(() => {
      if (way.signal.aborted) return
      this.#revived = true
      this.#lost.forgive(stay.node)
      way.abort()
    })
    return end.why === 'dismissed'
  }

  /** At another node, or at the one before when that has come back by itself; `null` when neither works. */
  async #next(): Promise<S | null> {
    const way = this.#way.signal
    const stay = await Promise.race([this.#hop(way), this.#wayIsOver.then(() => null)])
    if (stay) this.#way.abort()
    return this.#revived ? this.#stay : stay
  }

  async #hop(way: AbortSignal): Promise<S | null> {
    const stay = this.#plan && (await this.#enter(this.#plan, way))
    return stay && (await this.#settle(stay, way))
  }

  /** One attempt at every node; `null` when none of them could be entered. */
  async #enter({ token, nodes }: Plan, signal: AbortSignal): Promise<S | null> {
    const failed: string[] = []
    const leaving = this.#end.why === 'moving' ? this.#stay?.node : undefined
    const order = this.#lost.last(nodes, this.line.nowMs()).filter(({ id }) => id !== leaving)
    for (const node of order) {
      if (signal.aborted) return null
      const stay = await this.#enterAt(node, token, signal)
      if (stay) {
        // Another one works, so it was theirs, not this person's network's fault.
        for (const lost of failed) this.#lost.note(lost, this.line.nowMs())
        return stay
      }
      failed.push(node.id)
    }
    return null
  }

  async #enterAt({ id, urls }: MediaNode, token: string, signal: AbortSignal): Promise<S | null> {
    for (const url of urls) {
      if (signal.aborted) return null
      try {
        const stay = await this.line.connect({ node: id, url, token }, this.#stay, signal)
        this.stays.add(stay)
        if (!signal.aborted) return stay
        this.#leave(stay)
      } catch {
        // The next address, or the next node.
      }
    }
    return null
  }

  /** Shows the stay once it is as good as the one before, which is left then. */
  async #settle(stay: S, signal: AbortSignal): Promise<S | null> {
    const before = this.#stay
    if (before) await carryOver(before, stay, this.#end, this.line, signal)
    if (signal.aborted) {
      this.#leave(stay)
      return null
    }
    this.line.show(stay)
    if (before && this.#end.why === 'moving') void this.#linger(before, this.#end.byMs)
    else if (before) this.#leave(before)
    return stay
  }

  /** Whoever has not moved yet still looks at the old node: it is left when all have, or just before it sends them away. */
  async #linger(before: S, byMs: number): Promise<void> {
    do await this.line.pause(LOOK_EVERY_MS)
    while (!before.isAlone() && this.line.nowMs() < byMs - LOOK_EVERY_MS)
    this.#leave(before)
  }

  #leave(stay: S): void {
    this.stays.delete(stay)
    stay.leave()
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** A fresh grant; `null` when there is none to be had for the moment. */
async function askFor<S extends Stay>(line: Line<S>, signal: AbortSignal): Promise<Plan | null> {
  try {
    const grant = await line.join()
    return signal.aborted ? asTold(grant) : await choose(line, grant)
  } catch (error) {
    if (!signal.aborted && line.isFinal(error)) throw error
    return null
  }
}

/** Nodes pass calls on to each other, so everybody goes to what is nearest to them. */
async function choose<S extends Stay>(line: Line<S>, grant: Grant): Promise<Plan> {
  const told = asTold(grant)
  // A host of the release before sends everybody to one node, and its nodes may pass on nothing.
  if (grant.running === undefined || told.nodes.length < 2) return told
  return { ...told, nodes: await line.race(told.nodes) }
}
