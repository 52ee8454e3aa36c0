import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { devices } from 'playwright-core'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { inOrder } from './inOrder.js'
import { Network } from './network.js'
import { findInvitation, giveDetails, signIn, takeFirstTime } from './steps.js'
import { until } from './until.js'

// The page behind an invitation, as telephones open it: on a slow line, inside other apps, mirrored.

const PATIENT = { name: 'Tess Telephone', email: 'tess@patients.example' }
const SLOW_3G = { offline: false, latency: 400, downloadThroughput: 50_000, uploadThroughput: 50_000 }
const MOST_KB = 300
/** Requests of which each waits for the one before: four, and some for a machine that is busy. */
const MOST_ROUND_TRIPS = 6
const PHONE = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }
const INSIDE_AN_APP =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/512.0.0.40.109]'

const audit = new Audit()
/** @type {Network} */
let network
/** @type {Person[]} */
const people = []
let link = ''

/**
 * @param {string} name
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
async function open(name, options = PHONE) {
  const person = await Person.open(name, options)
  people.push(person)
  return person.page()
}

before(async () => {
  network = await Network.start()
})

after(async () => {
  await Promise.allSettled(people.map((person) => person.close()))
  await network?.remove()
})

const step = inOrder(() => people)

step('somebody has a link', async () => {
  const page = await open('desk', {})
  await page.goto(network.page('/c/demo'))
  await takeFirstTime(page)
  await giveDetails(page, PATIENT)
  await page.goto(network.page('/clinic/demo'))
  await signIn(page, network.account('front-desk'))
  link = await findInvitation(page, PATIENT.email)
})

test('on slow 3G the link’s page is small and comes in few round trips', async (context) => {
  const page = await open('slow line')
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('Network.enable')
  await devtools.send('Network.emulateNetworkConditions', SLOW_3G)
  await page.addInitScript(noteWhenUsable)
  const loads = await Loads.of(devtools)
  await page.goto(link, { waitUntil: 'commit' })
  const took = await until('the page is usable', () => page.evaluate(usableAfter), 30_000)
  const kB = Math.round(loads.bytes / 1000)
  context.diagnostic(
    `usable after ${took} ms on slow 3G: ${kB} kB in ${loads.count} requests, ${loads.roundTrips} one after the other`,
  )
  if (process.env.LOCUM_SHOW_LOADS) for (const line of loads.lines()) context.diagnostic(line)
  assert.ok(kB <= MOST_KB, `${kB} kB`)
  assert.ok(loads.roundTrips <= MOST_ROUND_TRIPS, `${loads.roundTrips} requests one after the other`)
})

step('inside another app the link is taken along to the browser', async () => {
  const page = await open('in an app', { ...PHONE, userAgent: INSIDE_AN_APP })
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await page.goto(link)
  await page.getByText('This page is open inside another app').waitFor()
  assert.equal(page.url(), link, '"Open in browser" takes the address')
  await audit.visit(page, 'inside another app')
  await page.getByRole('button', { name: 'Copy my link' }).click()
  await page.getByText('Copied.').waitFor()
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), link)
})

for (const name of ['iPhone 15', 'Pixel 7']) {
  step(`the browser of ${name} is none of those`, async () => {
    const { userAgent, viewport, hasTouch, isMobile } = devices[name] ?? {}
    assert.ok(userAgent)
    const page = await open(name, { userAgent, viewport, hasTouch, isMobile })
    await page.goto(link)
    await page.getByRole('button', { name: 'Turn on camera and microphone' }).waitFor()
    assert.equal(await page.getByText('inside another app').count(), 0)
    assert.equal(new URL(page.url()).hash, '', 'the secret stays in the address bar')
  })
}

step('mirrored, as for who reads from the right, pages stay whole and accessible', async () => {
  const page = await open('mirrored')
  await page.addInitScript(() => {
    // The document element is there before any script of the page.
    new MutationObserver((_, observer) => {
      if (!document.documentElement) return
      document.documentElement.dir = 'rtl'
      observer.disconnect()
    }).observe(document, { childList: true })
  })
  await page.goto(network.page('/c/demo'))
  await page.locator('button.time').first().waitFor()
  assert.equal(await page.evaluate(() => document.documentElement.dir), 'rtl')
  await audit.visit(page, 'booking, mirrored')
  await page.goto(link)
  await page.getByRole('button', { name: 'Answer a few questions' }).click()
  await symptoms(page)
  await audit.visit(page, 'visit, mirrored')
})

test('no page has a serious accessibility violation, and every page fits', () => {
  assert.deepEqual([audit.accessibility, audit.layout], [[], []])
})

test('no page broke its content security policy or threw', () => {
  assert.deepEqual(
    people.flatMap((person) => person.uncaught),
    [],
  )
})

/** Runs in the page before its own scripts: what is agreed to is there to read, and the first button to press. */
function noteWhenUsable() {
  new MutationObserver((_, observer) => {
    const text = document.body?.textContent ?? ''
    if (!text.includes('I agree to this visit by video.') || !text.includes('Turn on camera')) return
    observer.disconnect()
    requestAnimationFrame(() => Object.assign(window, { usableAfter: Math.round(performance.now()) }))
  }).observe(document, { childList: true, subtree: true })
}

/** Runs in the page: milliseconds since its navigation began. */
function usableAfter() {
  return /** @type {{ usableAfter?: number }} */ (/** @type {unknown} */ (window)).usableAfter
}

/** @param {import('playwright-core').Page} page */
async function symptoms(page) {
  await page.getByRole('group', { name: 'Do you have any symptoms now?' }).getByLabel('Yes').check()
  await page.getByLabel('Since when?').waitFor()
}

/** What a page loads, and when. */
class Loads {
  /** @type {Map<string, { url: string, from: number, until: number, bytes: number }>} */
  #all = new Map()

  /** @param {import('playwright-core').CDPSession} devtools */
  static async of(devtools) {
    const loads = new Loads()
    devtools.on('Network.requestWillBeSent', ({ requestId, request, timestamp }) =>
      loads.#all.set(requestId, { url: request.url, from: timestamp, until: Infinity, bytes: 0 }),
    )
    devtools.on('Network.loadingFinished', ({ requestId, timestamp, encodedDataLength }) => {
      const load = loads.#all.get(requestId)
      if (load) Object.assign(load, { until: timestamp, bytes: encodedDataLength })
    })
    return loads
  }

  get count() {
    return this.#all.size
  }

  get bytes() {
    return [...this.#all.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** The most requests of which each began when the one before was there. */
  get roundTrips() {
    let [count, free] = [0, 0]
    for (const { from, until } of [...this.#all.values()].sort((a, b) => a.until - b.until)) {
      if (from < free || until === Infinity) continue
      count += 1
      free = until
    }
    return count
  }

  /** Each with its times, for who wants to know why. */
  lines() {
    const all = [...this.#all.values()]
    const first = Math.min(...all.map(({ from }) => from))
    const ms = (/** @type {number} */ at) => Math.round((at - first) * 1000)
    return all.map(
      ({ url, from, until, bytes }) => `${ms(from)}–${ms(until)} ms ${bytes} B ${new URL(url).pathname}`,
    )
  }
}
