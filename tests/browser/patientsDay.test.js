import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { LOOKS } from './camera.js'
import { inOrder } from './inOrder.js'
import { Mail } from './mail.js'
import { seesAndHears } from './media.js'
import { Network } from './network.js'
import { dayAt, giveDetails, signIn, takeFirstTime, yesOrNo } from './steps.js'

// A patient's whole day, at a desk with the keyboard alone, and by telephone with a thumb.

const ZONE = 'Europe/Berlin'
const SIZES = {
  'at a desk': { viewport: { width: 1280, height: 860 } },
  'by telephone': { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
}
/** From the clinic's page to a time that is kept, and from the link to the waiting room. */
const MOST_TAPS = 3

/** @typedef {import('playwright-core').Page} Page */

/** @type {Mail} */
let mail
/** @type {Network} */
let network
/** @type {Person[]} */
const people = []
/** @type {Page} */
let doctor
/** @type {Page} */
let desk
/** @type {Page} */
let patient
const audit = new Audit()

/**
 * @param {string} name
 * @param {import('playwright-core').BrowserContextOptions} [options]
 * @param {import('./camera.js').Look} [look]
 */
async function open(name, options, look) {
  const person = await Person.open(name, options, look)
  people.push(person)
  return person
}

before(async () => {
  mail = await Mail.start()
  network = await Network.start(1, mail.options())
  doctor = await (await open('doctor', {}, LOOKS.clinic)).page()
  desk = await (await open('desk')).page()
  await doctor.goto(network.page('/clinic/demo'))
  await signIn(doctor, network.account('doctor', 'mira.okafor'))
  await desk.goto(network.page('/clinic/demo'))
  await signIn(desk, network.account('front-desk'))
})

after(async () => {
  await Promise.allSettled(people.map((person) => person.close()))
  await network?.remove()
  await mail?.stop()
})

const step = inOrder(() => people)

for (const [where, options] of Object.entries(SIZES)) {
  const byKeyboard = where === 'at a desk'
  const tag = byKeyboard ? 'Desk' : 'Phone'
  const who = { name: `Dora Day ${tag}`, email: `dora.${tag.toLowerCase()}@patients.example` }
  let [day, link] = ['', '']

  step(`${where}: a time is kept with few taps, and paid at the clinic`, async () => {
    const person = await open(`patient ${tag}`, options, LOOKS.patient)
    await person.context.addInitScript(countTaps)
    patient = await person.page()
    await patient.goto(network.page('/c/demo'))
    await patient.getByLabel('Dr. Mira Okafor').check()
    const start = await takeFirstTime(patient)
    day = dayAt(start, ZONE)
    assert.ok((await taps()) <= MOST_TAPS, `${await taps()} taps to a time that is kept`)
    await audit.visit(patient, 'who is coming')
    await giveDetails(patient, who)
    await audit.visit(patient, 'booked, pays at the clinic')
    link = await mail.link(who.email, 'Your video visit is on')
  })

  step(`${where}: questions that follow from answers, before the visit`, async () => {
    await patient.goto(link)
    await patient.getByRole('button', { name: 'Answer a few questions' }).click()
    await patient.getByLabel('What brings you here?').fill('A rash')
    await yesOrNo(patient, 'Do you have any symptoms now?', 'No')
    assert.equal(await patient.getByLabel('Since when?').count(), 0)
    await yesOrNo(patient, 'Are you allergic to anything?', 'Yes')
    await patient.getByLabel('What are you allergic to?').fill('Nuts')
    await audit.visit(patient, 'my answers')
    await patient.getByRole('button', { name: 'Done' }).click()
    await patient.getByText('Thank you. The clinic has your answers.').waitFor()
  })

  step(`${where}: from the link to the waiting room`, async () => {
    await patient.evaluate(() => sessionStorage.removeItem('taps'))
    // As from a mail: the keyboard begins at the top.
    await patient.goto('about:blank')
    await patient.goto(link)
    await patient.getByText('I agree to this visit by video.').waitFor()
    await use('Turn on camera and microphone', byKeyboard ? 'Enter' : null)
    await patient.getByText('We can hear you.').waitFor()
    await audit.visit(patient, 'ready, with the consent')
    await use('I agree: go to the waiting room', byKeyboard ? 'Space' : null)
    await patient.getByText('You are next').waitFor()
    assert.ok((await taps()) <= MOST_TAPS, `${await taps()} taps to the waiting room`)
    await audit.visit(patient, 'my place in the waiting room')
  })

  step(`${where}: the call, with sound and picture`, async () => {
    await doctor.goto(network.page(`/clinic/demo/day/${day}`))
    await doctor.getByRole('button', { name: `Admit ${who.name}` }).click()
    await Promise.all([
      seesAndHears(patient, 'the patient', LOOKS.clinic),
      seesAndHears(doctor, 'the clinician', LOOKS.patient),
    ])
    await audit.visit(patient, 'my call')
    await doctor.getByText('Plan the next visit').click()
    await doctor.getByLabel('What for').fill('Look at the skin again')
    await doctor.getByLabel('Due on').fill(dayAt(new Date().toISOString(), ZONE))
    await doctor.getByRole('button', { name: 'Plan', exact: true }).click()
    await doctor.getByText('Planned.').waitFor()
  })

  step(`${where}: afterwards there are the receipt, and who saw the record`, async () => {
    await desk.getByRole('link', { name: 'Payments' }).click()
    await desk.getByLabel('Visits of').fill(day)
    const invoice = desk.getByRole('article').filter({ hasText: who.name })
    await invoice.getByRole('button', { name: 'Paid at the clinic' }).click()
    await invoice.getByRole('button', { name: 'Save' }).click()
    await invoice.locator('.chip', { hasText: /^Paid$/ }).waitFor()
    await doctor.getByRole('button', { name: 'End visit' }).click()
    await doctor.getByRole('dialog').getByRole('button', { name: 'End visit' }).click()
    await patient.getByRole('heading', { name: 'Your visit is over' }).waitFor()
    const saved = patient.waitForEvent('download')
    await patient.getByRole('button', { name: 'Save the receipt' }).click()
    assert.match((await saved).suggestedFilename(), /^receipt-\d+\.pdf$/)
    await patient.getByRole('button', { name: 'Show me' }).click()
    await patient.getByText('Dr. Mira Okafor (Doctor)').first().waitFor()
    await audit.visit(patient, 'after the visit')
  })

  step(`${where}: the recall’s message leads to the next booking, and the list forgets it`, async () => {
    await desk.getByRole('link', { name: 'Recalls' }).click()
    await desk.getByRole('button', { name: `Write now: ${who.name}` }).click()
    await patient.goto(await mail.link(who.email, 'would like to see you again'))
    await takeFirstTime(patient)
    await giveDetails(patient, who)
    await desk.getByRole('link', { name: 'Today', exact: true }).click()
    await desk.getByRole('link', { name: 'Recalls' }).click()
    await desk.getByText('Nobody is due.').waitFor()
  })
}

test('no page has a serious accessibility violation', () => {
  assert.ok(audit.visited.length >= 2 * 7, `visited only ${audit.visited.join(', ')}`)
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

/** Runs in each page before its own scripts. A key that presses a button counts as well. */
function countTaps() {
  const count = () => {
    sessionStorage.taps = Number(sessionStorage.taps ?? 0) + 1
  }
  addEventListener('pointerdown', count, true)
  addEventListener('keydown', ({ key }) => (key === 'Enter' || key === ' ') && count(), true)
}

async function taps() {
  return Number(await patient.evaluate(() => sessionStorage.taps ?? 0))
}

/**
 * Presses a button: by key, once Tab has led to it, or with a thumb.
 *
 * @param {string} name
 * @param {string | null} key
 */
async function use(name, key) {
  const button = patient.getByRole('button', { name, exact: true })
  if (key === null) return button.tap()
  await button.waitFor()
  for (let presses = 0; presses < 40; presses++) {
    await patient.keyboard.press('Tab')
    const text = await patient.evaluate(() => document.activeElement?.textContent?.trim())
    if (text === name) return patient.keyboard.press(key)
  }
  assert.fail(`40 presses of Tab did not lead to ${name}`)
}
