import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { inOrder } from './inOrder.js'
import { Network } from './network.js'
import { dayAt, findInvitation, giveDetails, signIn, takeFirstTime } from './steps.js'

/** Markup, SQL, a script written from right to left, an emoji of several code points, and a word that fills a line. */
const NAME = `<img src=x onerror="window.ran=1"> '; DROP TABLE patient; -- أميرة حداد 👩‍⚕️ ${'Llanfair'.repeat(5)}`
const TEXT = `${NAME} {{constructor.constructor('window.ran=1')()}} <script>window.ran=1</script>`

/** @typedef {import('playwright-core').Page} Page */

/** @type {Network} */
let network
/** @type {Person[]} */
const people = []
/** @type {Page} */
let patient
/** @type {Page} */
let desk
/** @type {Page} */
let doctor
const audit = new Audit()
let day = ''
let appointment = ''

/** @param {string} name */
async function open(name) {
  const person = await Person.open(name)
  people.push(person)
  return person.page()
}

before(async () => {
  network = await Network.start()
  patient = await open('patient')
  desk = await open('desk')
  doctor = await open('doctor')
})

after(async () => {
  for (const person of people) await person.close()
  await network?.remove()
})

const step = inOrder(() => people)

/**
 * It stands there as it was written, and made nothing.
 *
 * @param {Page} page
 * @param {string} text
 */
async function isShown(page, text) {
  await page.getByText(text).first().waitFor()
  assert.equal(
    await page.locator('main img[src="x"], main script').count(),
    0,
    'markup became part of a page',
  )
}

step('a patient with such a name books', async () => {
  await patient.goto(network.page('/c/demo'))
  day = dayAt(await takeFirstTime(patient), 'Europe/Berlin')
  const confirmed = patient.waitForResponse((response) => response.url().endsWith('/payments/confirmations'))
  await giveDetails(patient, { name: NAME, email: 'strange@patients.example' })
  appointment = (await (await confirmed).json()).appointment.id
  await audit.visit(patient, 'booked')
})

step('the front desk sees it as it is, and books nothing else by it', async () => {
  await desk.goto(network.page('/clinic/demo'))
  await signIn(desk, network.account('front-desk'))
  await desk.goto(network.page(`/clinic/demo/day/${day}`))
  await isShown(desk, NAME)
  await audit.visit(desk, 'day')
})

step('the patient finds their visit by the link', async () => {
  await patient.goto(await findInvitation(desk, 'strange@patients.example'))
  await patient.getByRole('heading').first().waitFor()
  await audit.visit(patient, 'visit of the patient')
})

step('a clinician writes the like, and reads it again', async () => {
  await doctor.goto(network.page('/clinic/demo'))
  await signIn(doctor, network.account('doctor'))
  await doctor.goto(network.page(`/clinic/demo/day/${day}/visit/${appointment}`))
  await isShown(doctor, NAME)
  await doctor.getByText('Plan the next visit').click()
  await doctor.getByLabel('What for').fill(NAME)
  await doctor
    .getByLabel('Due on')
    .fill(dayAt(new Date(Date.now() + 7 * 86_400_000).toISOString(), 'Europe/Berlin'))
  await doctor.getByRole('button', { name: 'Plan', exact: true }).click()
  await doctor.getByText('Planned.').waitFor()
  await audit.visit(doctor, 'visit')
  await doctor.getByRole('link', { name: 'Write to the patient' }).click()
  await doctor.getByLabel('Your message').fill(TEXT)
  await doctor.getByRole('button', { name: 'Send', exact: true }).click()
  await isShown(doctor, TEXT)
  await audit.visit(doctor, 'conversation')
  await doctor.getByRole('link', { name: 'Recalls' }).click()
  await isShown(doctor, NAME)
  await audit.visit(doctor, 'recalls')
})

test('nothing of it ran', async () => {
  for (const page of [patient, desk, doctor]) assert.equal(await page.evaluate('window.ran'), undefined)
  assert.deepEqual(
    people.flatMap((person) => person.uncaught),
    [],
  )
})

test('no page has a serious accessibility violation, and every page fits 360 pixels', () => {
  assert.deepEqual(audit.accessibility, [])
  assert.deepEqual(audit.layout, [])
})
