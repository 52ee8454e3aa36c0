import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { LOOKS } from './camera.js'
import { seesAll, seesAndHears } from './media.js'
import { Network } from './network.js'
import {
  dayAt,
  findInvitation,
  giveDetails,
  goToWaitingRoom,
  signIn,
  signOut,
  takeFirstTime,
} from './steps.js'

// Patient, clinician and an interpreter in one call, until the interpreter is removed from it.

const PATIENT = { name: 'Gala Guested', email: 'gala@patients.example' }
/** Media nodes are to have put out whoever was removed. */
const OUT_WITHIN_MS = 30_000

const audit = new Audit()
/** @type {Network} */
let network
/** @type {Record<'patient' | 'clinic' | 'guest', Person>} */
let people

before(async () => {
  network = await Network.start()
  people = {
    patient: await Person.open('patient', {}, LOOKS.patient),
    clinic: await Person.open('clinic', {}, LOOKS.clinic),
    guest: await Person.open('guest', {}, LOOKS.guest),
  }
})

after(async () => {
  await Promise.allSettled(Object.values(people ?? {}).map((person) => person.close()))
  await network?.remove()
})

test('an interpreter joins by a link, is seen and heard, and is removed', async (context) => {
  const [patient, clinic, guest] = [
    await people.patient.page(),
    await people.clinic.page(),
    await people.guest.page(),
  ]
  try {
    await begin(patient, clinic)
    const link = await invite(clinic)
    assert.match(link, /\/c\/demo\/visit#[\w-]{22,}$/)

    await guest.goto(link)
    await guest.getByText('You come as: Interpreter.').waitFor()
    assert.equal(new URL(guest.url()).hash, '', 'the secret stays in the address bar')
    await audit.visit(guest, 'visit of a guest')
    await guest.getByRole('button', { name: 'Turn on camera and microphone' }).click()
    await guest.getByText('We can hear you.').waitFor()
    await guest.getByRole('button', { name: 'Go to the waiting room' }).click()
    await guest.getByText('You will be let in').waitFor()
    await audit.visit(guest, 'waiting room of a guest')
    await clinic.getByRole('button', { name: 'Admit: Interpreter' }).click()

    await Promise.all([
      seesAll(patient, [LOOKS.clinic, LOOKS.guest]),
      seesAll(clinic, [LOOKS.patient, LOOKS.guest]),
      seesAll(guest, [LOOKS.patient, LOOKS.clinic]),
    ])
    // Called by what they are to the visit: names never reach the media node.
    await patient.locator('figcaption', { hasText: 'Interpreter' }).waitFor()
    await clinic.locator('figcaption', { hasText: 'Interpreter' }).waitFor()
    await clinic.locator('figcaption', { hasText: PATIENT.name }).waitFor()
    await guest.locator('figcaption', { hasText: 'Patient' }).waitFor()
    assert.equal(await guest.getByText(PATIENT.name).count(), 0, 'the guest is told the patient’s name')
    const code = await haveOneCode([patient, clinic, guest])
    await audit.visit(clinic, 'call with a guest')
    await isMuted(clinic, guest)
    assert.equal(await patient.getByRole('button', { name: /^Mute: / }).count(), 0, 'a patient may mute')
    await areMeasured(clinic)
    await reports(guest)

    await isOnOneDevice(guest, link)
    await isRemoved(clinic, guest, link)
    await Promise.all([
      seesAndHears(patient, 'the patient, without the guest,', LOOKS.clinic),
      seesAndHears(clinic, 'the clinician, without the guest,', LOOKS.patient),
    ])
    assert.notEqual(await haveOneCode([patient, clinic]), code, 'the guest’s key is still among them')
    await isOnHold(clinic, patient)
    await isTakenOver(clinic, patient)
  } catch (error) {
    await Promise.all(Object.values(people).map((person) => person.keepEvidence(context.name)))
    throw error
  }
})

test('no page of it has a serious accessibility violation, and every one fits', () => {
  assert.deepEqual([audit.accessibility, audit.layout], [[], []])
})

test('no page of it broke its content security policy or threw', () => {
  assert.deepEqual(
    Object.values(people).flatMap((person) => person.uncaught),
    [],
  )
})

/**
 * Books a visit, and both are in its call.
 *
 * @param {import('playwright-core').Page} patient
 * @param {import('playwright-core').Page} clinic
 */
async function begin(patient, clinic) {
  await patient.goto(network.page('/c/demo'))
  await patient.getByLabel('Dr. Mira Okafor').check()
  const start = await takeFirstTime(patient)
  await giveDetails(patient, PATIENT)
  await clinic.goto(network.page('/clinic/demo'))
  await signIn(clinic, network.account('front-desk'))
  const invitation = await findInvitation(clinic, PATIENT.email)
  await signOut(clinic)
  await goToWaitingRoom(patient, invitation)
  await signIn(clinic, network.account('doctor'))
  await clinic.goto(network.page(`/clinic/demo/day/${dayAt(start, 'Europe/Berlin')}`))
  await clinic.getByRole('button', { name: `Admit ${PATIENT.name}` }).click()
  await Promise.all([
    seesAndHears(patient, 'the patient', LOOKS.clinic),
    seesAndHears(clinic, 'the clinician', LOOKS.patient),
  ])
}

/**
 * The clinician puts the patient on hold and goes on.
 *
 * @param {import('playwright-core').Page} clinic
 * @param {import('playwright-core').Page} patient
 */
async function isOnHold(clinic, patient) {
  await clinic.getByRole('button', { name: 'Put on hold' }).click()
  await clinic.getByText('The visit is on hold').waitFor()
  await patient.getByText('One moment, please').waitFor()
  assert.equal(await patient.locator('video').count(), 0, 'there is a picture on hold')
  await audit.visit(patient, 'on hold')
  await clinic.getByRole('button', { name: `Go on with ${PATIENT.name}` }).click()
  await Promise.all([
    seesAndHears(patient, 'the patient, after a pause,', LOOKS.clinic),
    seesAndHears(clinic, 'the clinician, after a pause,', LOOKS.patient),
  ])
}

/**
 * From the board the visit goes to another doctor, who goes on with it.
 *
 * @param {import('playwright-core').Page} clinic
 * @param {import('playwright-core').Page} patient
 */
async function isTakenOver(clinic, patient) {
  await clinic.getByRole('link', { name: 'Back' }).click()
  await clinic.getByRole('heading', { name: 'In a call now' }).waitFor()
  const board = clinic.url()
  await audit.visit(clinic, 'board with a call')
  await clinic.getByRole('button', { name: `Transfer ${PATIENT.name}` }).click()
  await clinic.getByRole('dialog').getByRole('button', { name: 'Dr. Jonas Lindqvist' }).waitFor()
  await audit.visit(clinic, 'who takes over')
  await clinic.getByRole('dialog').getByRole('button', { name: 'Dr. Jonas Lindqvist' }).click()
  await patient.getByText('One moment, please').waitFor()
  await patient.getByText('Your visit with Dr. Jonas Lindqvist is on hold').waitFor()
  await signOut(clinic)
  await signIn(clinic, network.account('doctor', 'jonas.lindqvist'))
  await clinic.goto(board)
  await clinic.getByRole('button', { name: `Go on with ${PATIENT.name}` }).click()
  await Promise.all([
    seesAndHears(patient, 'the patient, with another doctor,', LOOKS.clinic),
    seesAndHears(clinic, 'the other doctor', LOOKS.patient),
  ])
}

/**
 * The link for an interpreter, as the clinician is shown it.
 *
 * @param {import('playwright-core').Page} clinic
 */
async function invite(clinic) {
  await clinic.getByRole('button', { name: 'Invite somebody' }).click()
  const dialog = clinic.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Interpreter' }).click()
  const link = await dialog.getByLabel('Link').inputValue()
  await dialog.getByRole('button', { name: 'Done' }).click()
  await clinic.getByText('Interpreter · has not come yet').waitFor()
  return link
}

/**
 * The call is private, and whoever compares finds the same digits.
 *
 * @param {import('playwright-core').Page[]} pages
 */
async function haveOneCode(pages) {
  const codes = []
  for (const page of pages) {
    await page.getByRole('button', { name: 'Encrypted end to end' }).click()
    const dialog = page.getByRole('dialog')
    codes.push(await dialog.locator('.safety-code').textContent())
    await dialog.getByRole('button', { name: 'Close' }).click()
  }
  assert.equal(new Set(codes).size, 1, `codes differ: ${codes}`)
  return codes[0]
}

/**
 * Muted by the clinician, and open again when they want to speak.
 *
 * @param {import('playwright-core').Page} clinic
 * @param {import('playwright-core').Page} guest
 */
async function isMuted(clinic, guest) {
  const tile = clinic.locator('figure', { hasText: 'Interpreter' })
  await clinic.getByRole('button', { name: 'Mute: Interpreter' }).click()
  await tile.getByText('muted').waitFor()
  await guest.getByText('The clinician muted you.').waitFor()
  await guest.getByRole('button', { name: 'Unmute', exact: true }).click()
  await tile.getByText('muted').waitFor({ state: 'detached' })
  await guest.getByText('The clinician muted you.').waitFor({ state: 'detached' })
}

/**
 * The clinician is shown how everybody's line is, as each browser measured it.
 *
 * @param {import('playwright-core').Page} clinic
 */
async function areMeasured(clinic) {
  await clinic.getByRole('button', { name: 'Help', exact: true }).click()
  await clinic.getByText('How the call is doing').click()
  for (const name of ['You', 'Interpreter', PATIENT.name]) {
    const row = clinic.getByRole('row', { name })
    await row.getByText(/^[\d.]+ %$/).waitFor()
    await row.getByText(/^\d+ ms$/).waitFor()
    await row.getByText(/^[1-9]\d* kbit\/s$/).waitFor()
    await row.getByText(/^\d+ × \d+, [1-9]\d* kbit\/s$/).waitFor()
  }
  await audit.visit(clinic, 'lines of a call')
  await clinic.getByRole('button', { name: 'Help', exact: true }).click()
}

/** @param {import('playwright-core').Page} guest */
async function reports(guest) {
  await guest.getByRole('button', { name: 'Help', exact: true }).click()
  assert.equal(await guest.getByText('How the call is doing').count(), 0, 'figures are for staff')
  assert.equal(await guest.getByRole('button', { name: 'Call me by phone instead' }).count(), 0)
  const sending = guest.waitForRequest((request) => request.url().endsWith('/visit/reports'))
  await guest.getByRole('button', { name: 'The sound is poor' }).click()
  /** @type {{ lines: { lossPermille?: number }[] }} */
  const { lines } = (await sending).postDataJSON()
  const measured = lines.filter(({ lossPermille }) => Number.isInteger(lossPermille))
  assert.equal(measured.length, 3, JSON.stringify(lines))
  await guest.getByText('The clinic can see that something was wrong').waitFor()
  await guest.getByRole('button', { name: 'Help', exact: true }).click()
}

/**
 * Opened on another device the link is that device's, until this one takes it back.
 *
 * @param {import('playwright-core').Page} guest
 * @param {string} link
 */
async function isOnOneDevice(guest, link) {
  const other = await Person.open('another device', {}, LOOKS.guest)
  try {
    const page = await other.page()
    await page.goto(link)
    await page.locator('.stage, .device-check, .card').first().waitFor()
    await guest.getByRole('heading', { name: 'Your link is in use on another device' }).waitFor()
    await audit.visit(guest, 'link in use elsewhere')
    await guest.getByRole('button', { name: 'Use it here' }).click()
    await page.getByRole('heading', { name: 'Your link is in use on another device' }).waitFor()
    await seesAll(guest, [LOOKS.patient, LOOKS.clinic])
  } finally {
    await other.close()
  }
}

/**
 * @param {import('playwright-core').Page} clinic
 * @param {import('playwright-core').Page} guest
 * @param {string} link
 */
async function isRemoved(clinic, guest, link) {
  await clinic.getByRole('button', { name: 'Remove: Interpreter' }).click()
  await clinic.locator('figcaption', { hasText: 'Interpreter' }).waitFor({
    state: 'detached',
    timeout: OUT_WITHIN_MS,
  })
  await guest.getByRole('heading', { name: 'This link was taken back' }).waitFor()
  await guest.goto(link)
  await guest.getByRole('heading', { name: 'This link was taken back' }).waitFor()
  await audit.visit(guest, 'link taken back')
}
