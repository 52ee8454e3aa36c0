import { afterEach, test } from 'node:test'

/**
 * Makes the tests of a file that go on from where the one before ended: when one fails, what everybody saw is kept and
 * the rest are skipped.
 *
 * @param {() => import('./browser.js').Person[]} people
 */
export function inOrder(people) {
  let failed = false
  afterEach(async (context) => {
    if ('passed' in context && context.passed) return
    failed = true
    for (const person of people()) await person.keepEvidence(context.name)
  })

  /**
   * @param {string} name
   * @param {() => Promise<void> | void} work
   */
  return (name, work) => {
    test(name, async (context) => {
      if (failed) return context.skip('a step before failed')
      await work()
    })
  }
}
