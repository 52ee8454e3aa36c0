import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { LOOKS } from './camera.js'
import { inOrder } from './inOrder.js'
import { Mail } from './mail.js'
import { Network } from './network.js'
import { dayAt, giveDetails, goToWaitingRoom, signIn, signOut, takeFirstTime } from './steps.js'
import { until } from './until.js'

// A front desk's whole day, at a desk and then once more by telephone. What stands behind each step is proven elsewhere.

const ZONE = 'Europe/Berlin'
const SIZES = {
  'at a desk': { viewport: { width: 1280, height: 860 } },
  'by telephone': { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
}

/** @typedef {import('playwright-core').Page} Page */

/** @type {Mail} */
let mail
/** @type {Network} */
let network
/** @type {Person[]} */
const people = []
/** @type {Page} */
let patient
/** @type {Page} */
let doctor
/** @type {Page} */
let desk
const audit = new Audit()

/**
 * @param {string} name
 * @param {import('playwright-core').BrowserContextOptions} [options]
 * @param {import('./camera.js').Look} [look]
 */
async function open(name, options, look) {
  const person = await Person.open(name, options, look)
  people.push(person)
  return person.page()
}

before(async () => {
  mail = await Mail.start()
  network = await Network.start(1, mail.options())
  patient = await open('patient')
  doctor = await open('doctor', {}, LOOKS.clinic)
})

after(async () => {
  await Promise.allSettled(people.map((person) => person.close()))
  await network?.remove()
  await mail?.stop()
})

const step = inOrder(() => people)

for (const [where, options] of Object.entries(SIZES)) {
  const tag = where === 'at a desk' ? 'Desk' : 'Phone'
  const caller = { name: `Cara Caller ${tag}`, email: `cara.${tag.toLowerCase()}@patients.example` }
  const walker = { name: `Walt Walkin ${tag}`, email: `walt.${tag.toLowerCase()}@patients.example` }
  const refused = { name: `Nora Nomail ${tag}`, email: `nobody.${tag.toLowerCase()}@patients.example` }
  /** The days of their visits. @type {Record<string, string>} */
  const days = {}
  const dayOf = (/** @type {{ name: string }} */ { name }) => network.page(`/clinic/demo/day/${days[name]}`)

  step(`${where}: the board is there after a second factor`, async () => {
    desk = await open(`desk ${tag}`, options)
    await desk.goto(network.page('/clinic/demo'))
    await signIn(desk, network.account('front-desk'))
    await desk.getByText('Nobody is waiting.').waitFor()
    await audit.visit(desk, 'board in the morning')
  })

  step(`${where}: who calls and who stands there are booked in a tab beside the board`, async () => {
    const opened = desk.context().waitForEvent('page')
    await desk.getByRole('link', { name: 'Book for a caller' }).click()
    const booking = await opened
    for (const who of [caller, walker, refused]) {
      await booking.goto(network.page('/c/demo'))
      // With whoever is free, the day could go over two doctors.
      await booking.getByLabel('Dr. Mira Okafor').check()
      days[who.name] = dayAt(await takeFirstTime(booking), ZONE)
      await giveDetails(booking, who)
    }
    await booking.close()
    // The browser may show another tab instead, and passkeys are for who looks at the page.
    await desk.bringToFront()
    await desk.goto(dayOf(caller))
    await visit(caller.name).waitFor()
    await audit.visit(desk, 'board with visits')
  })

  step(`${where}: plans change, somebody is late, nobody is missing before their time`, async () => {
    await desk.goto(dayOf(refused))
    await desk.getByRole('button', { name: `Cancel the visit with ${refused.name}` }).click()
    const dialog = desk.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Cancel the visit' }).click()
    await visit(refused.name).getByText('Cancelled').waitFor()
    await desk.goto(dayOf(caller))
    await desk.getByRole('button', { name: `Somebody is late: ${caller.name}` }).click()
    await dialog.getByRole('button', { name: 'The patient did not come' }).click()
    await dialog.getByText('It is too early to say that').waitFor()
    await audit.visit(desk, 'late or missing')
    await dialog.getByRole('button', { name: '10 minutes' }).click()
    await visit(caller.name).getByText('We are 10 min late').waitFor()
    await desk.goto(dayOf(walker))
    await move(walker.name)
  })

  step(`${where}: a message that did not go out is seen to`, async () => {
    await desk.getByRole('link', { name: 'Messages' }).click()
    // One said that the visit is booked, one that it is not.
    const seen = desk.getByRole('button', { name: `Seen to: ${refused.email}` })
    await until('both messages are on the list', async () => (await seen.count()) === 2)
    await audit.visit(desk, 'messages that did not go out')
    await seen.first().click()
    await until('one is left', async () => (await seen.count()) === 1)
    await seen.click()
    await desk.getByText('Nothing to see to.').waitFor()
  })

  step(`${where}: the patient arrives by the link of their mail, and shows on the board`, async () => {
    await goToWaitingRoom(patient, await mail.link(caller.email, 'Your video visit is on'))
    await desk.goto(dayOf(caller))
    const waits = desk.getByRole('region', { name: 'In the waiting room' })
    await waits.getByRole('listitem').filter({ hasText: caller.name }).waitFor()
    await audit.visit(desk, 'board with somebody waiting')
  })

  step(`${where}: without consent the call waits; then on hold, handed over, and back`, async () => {
    await patient.getByRole('button', { name: 'Take my consent back' }).click()
    await patient.getByRole('button', { name: 'Take it back' }).click()
    await patient.getByText('I agree to this visit by video.').waitFor()
    await doctor.goto(network.page('/clinic/demo'))
    await signIn(doctor, network.account('doctor', 'mira.okafor'))
    await doctor.goto(dayOf(caller))
    await doctor.getByRole('button', { name: `Admit ${caller.name}` }).click()
    await doctor.getByRole('button', { name: 'Record verbal consent' }).click()
    await doctor.getByRole('button', { name: 'I read this out, and the patient agreed' }).click()
    await doctor.locator('.remote-video').waitFor()
    const inCall = desk.getByRole('region', { name: 'In a call now' })
    await inCall.getByRole('listitem').filter({ hasText: caller.name }).waitFor()
    await doctor.getByRole('button', { name: 'Put on hold' }).click()
    await inCall.getByText('on hold').waitFor()
    await transfer(caller.name, 'Dr. Jonas Lindqvist')
    await inCall.getByText('Dr. Jonas Lindqvist').waitFor()
    await audit.visit(desk, 'board with a call on hold')
    await transfer(caller.name, 'Dr. Mira Okafor')
    await inCall.getByText('Dr. Mira Okafor').waitFor()
  })

  step(`${where}: the visit goes on, the next one is planned, and it ends`, async () => {
    await doctor.getByRole('button', { name: `Go on with ${caller.name}` }).click()
    await doctor.locator('.remote-video').waitFor()
    await doctor.getByText('Plan the next visit').click()
    await doctor.getByLabel('What for').fill('Look at the results')
    await doctor.getByLabel('Due on').fill(dayAt(new Date(Date.now() + 86_400_000).toISOString(), ZONE))
    await doctor.getByRole('button', { name: 'Plan', exact: true }).click()
    await doctor.getByText('Planned.').waitFor()
    await doctor.getByRole('button', { name: 'End visit' }).click()
    await doctor.getByRole('dialog').getByRole('button', { name: 'End visit' }).click()
    await doctor.getByRole('heading', { name: 'Visits' }).waitFor()
    await visit(caller.name).getByText('Done').waitFor()
    await signOut(doctor)
  })

  step(`${where}: it is paid in cash, and who is to come again is written to`, async () => {
    await desk.getByRole('link', { name: 'Payments' }).click()
    await desk.getByLabel('Visits of').fill(days[caller.name] ?? '')
    await invoice(caller.name).getByRole('button', { name: 'Paid at the clinic' }).click()
    await audit.visit(desk, 'money at the desk')
    await invoice(caller.name).getByRole('button', { name: 'Save' }).click()
    await invoice(caller.name)
      .locator('.chip', { hasText: /^Paid$/ })
      .waitFor()
    await desk.getByRole('link', { name: 'Recalls' }).click()
    await desk.getByRole('button', { name: `Write now: ${caller.name}` }).click()
    const recall = desk.getByRole('listitem').filter({ hasText: caller.name })
    await recall.getByText(/^1 message so far/).waitFor()
    await mail.link(caller.email, 'would like to see you again')
    await signOut(desk)
  })

  step(`${where}: an administrator gives a part back, and closes the day with its report`, async () => {
    await signIn(desk, network.account('clinic-admin'))
    await desk.getByRole('link', { name: 'Payments' }).click()
    await desk.getByLabel('Visits of').fill(days[caller.name] ?? '')
    await invoice(caller.name).getByRole('button', { name: 'Refund' }).click()
    await invoice(caller.name).getByLabel('Amount').fill('10.00')
    await invoice(caller.name).getByRole('button', { name: 'Save' }).click()
    await invoice(caller.name).getByText('€10.00').waitFor()
    await desk.getByRole('button', { name: 'Show', exact: true }).click()
    const cash = desk.getByRole('row').filter({ hasText: 'Cash' })
    // Each size's visit costs 110.00, of which 10.00 went back.
    await cash.getByText(tag === 'Desk' ? '100.00 EUR' : '200.00 EUR').waitFor()
    await audit.visit(desk, 'report of the day')
    await signOut(desk)
  })
}

test('no page has a serious accessibility violation', () => {
  assert.ok(audit.visited.length >= 2 * 8, `visited only ${audit.visited.join(', ')}`)
  assert.deepEqual(audit.accessibility, [])
})

test('every page fits 360 pixels, also mirrored, with targets that a thumb can hit', () => {
  assert.deepEqual(audit.layout, [])
})

test('no page broke its content security policy or threw', () => {
  assert.deepEqual(
    people.flatMap((person) => person.uncaught),
    [],
  )
})

/**
 * Somebody's row among the day's visits.
 *
 * @param {string} name
 */
function visit(name) {
  return desk.locator('.visits').getByRole('listitem').filter({ hasText: name })
}

/** @param {string} name */
function invoice(name) {
  return desk.getByRole('article').filter({ hasText: name })
}

/**
 * Takes the last time of the first day that is offered.
 *
 * @param {string} name
 */
async function move(name) {
  await desk.getByRole('button', { name: `Move the visit with ${name}` }).click()
  const dialog = desk.getByRole('dialog')
  await dialog.locator('button.time').last().click()
  await dialog.getByRole('button', { name: 'Move the visit', exact: true }).click()
  await dialog.waitFor({ state: 'detached' })
}

/**
 * @param {string} name
 * @param {string} to
 */
async function transfer(name, to) {
  await desk.getByRole('button', { name: `Transfer ${name}` }).click()
  await desk.getByRole('dialog').getByRole('button', { name: to }).click()
  await desk.getByRole('dialog').waitFor({ state: 'detached' })
}
