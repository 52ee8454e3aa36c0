import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'

/** @typedef {import('./standstill.js').Still} Still */
/** @typedef {{ medianMs: number, p95Ms: number }} Goal */

/** How long pictures stood still, of so many faults of each kind, at each page. */
export class Figures {
  /** @type {Record<string, Still[][]>} */
  #stills = {}

  /**
   * @param {string} fault
   * @param {Still[]} stills
   */
  note(fault, stills) {
    this.#stills[fault] = [...(this.#stills[fault] ?? []), stills]
  }

  /**
   * Writes them down for whoever makes a table of them.
   *
   * @param {string | undefined} path
   */
  keep(path) {
    if (path) writeFileSync(path, JSON.stringify(this.#stills))
  }

  /** @param {Record<string, Goal>} goals */
  areWithin(goals) {
    for (const [fault, { medianMs, p95Ms }] of Object.entries(goals)) {
      const decoded = (this.#stills[fault] ?? []).flat().map(({ decodedMs }) => decodedMs)
      assert.ok(quantile(decoded, 0.5) <= medianMs, `${fault}: median of ${decoded} is over ${medianMs} ms`)
      assert.ok(quantile(decoded, 0.95) <= p95Ms, `${fault}: p95 of ${decoded} is over ${p95Ms} ms`)
    }
  }
}

/**
 * The smallest of the values that so large a share of them does not exceed.
 *
 * @param {number[]} values
 * @param {number} share
 */
export function quantile(values, share) {
  const ascending = values.toSorted((a, b) => a - b)
  return ascending[Math.ceil(share * ascending.length) - 1] ?? Number.POSITIVE_INFINITY
}
