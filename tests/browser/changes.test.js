import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { inOrder } from './inOrder.js'
import { Network } from './network.js'
import { dayAt, findInvitation, giveDetails, signIn, takeFirstTime } from './steps.js'
import { until } from './until.js'

// Plans change: the patient by the link, the front desk on the day's list.

const PATIENT = { name: 'Ina Intime', email: 'ina@patients.example' }
const ZONE = 'Europe/Berlin'
const audit = new Audit()

/** @type {Network} */
let network
/** @type {Person} */
let patient
/** @type {Person} */
let desk
/** @type {import('playwright-core').Page} */
let patientPage
/** @type {import('playwright-core').Page} */
let deskPage
/** @type {string} */
let link
/** Start of the visit as it is now. @type {string} */
let start

before(async () => {
  network = await Network.start()
  patient = await Person.open('changes-patient')
  desk = await Person.open('changes-desk')
  patientPage = await patient.page()
  deskPage = await desk.page()
})

after(async () => {
  await Promise.allSettled([patient?.close(), desk?.close()])
  await network?.remove()
})

const step = inOrder(() => [patient, desk])

step('a visit is booked for a later week', async () => {
  await patientPage.goto(network.page('/c/demo'))
  await patientPage.locator('button.time').first().waitFor()
  await patientPage.getByRole('button', { name: 'Later' }).click()
  start = await takeFirstTime(patientPage)
  await giveDetails(patientPage, PATIENT)
  await deskPage.goto(network.page('/clinic/demo'))
  await signIn(deskPage, network.account('front-desk'))
  link = await findInvitation(deskPage, PATIENT.email)
})

step('the calendar entry says when', async () => {
  await patientPage.goto(link)
  await audit.visit(patientPage, 'before the visit')
  const downloads = patientPage.waitForEvent('download')
  await patientPage.getByRole('button', { name: 'Put it into my calendar' }).click()
  const download = await downloads
  assert.equal(download.suggestedFilename(), 'visit.ics')
  const text = await readFile(await download.path(), 'utf8')
  const utc = start.replaceAll(/[-:]|\.\d+/g, '')
  assert.match(text, new RegExp(`^DTSTART:${utc}\r?$`, 'm'))
})

step('the patient chooses another time', async () => {
  await patientPage.getByRole('button', { name: 'Choose another time' }).click()
  await patientPage.locator('button.time').first().waitFor()
  await audit.visit(patientPage, 'another time')
  start = await moveTo(patientPage, 'last')
  await patientPage.getByText('Your visit has another time.').waitFor()
  await deskPage.goto(network.page(`/clinic/demo/day/${dayAt(start, ZONE)}`))
  await deskPage.getByRole('listitem').filter({ hasText: PATIENT.name }).waitFor()
})

step('the front desk moves it too, and the patient’s page follows', async () => {
  await deskPage.getByRole('button', { name: `Move the visit with ${PATIENT.name}` }).click()
  await deskPage.getByRole('dialog').locator('button.time').first().waitFor()
  await audit.visit(deskPage, 'move a visit')
  const before = start
  start = await moveTo(deskPage, 'first')
  assert.notEqual(start, before)
  await deskPage.getByRole('dialog').waitFor({ state: 'detached' })
  const seen = patientPage.waitForResponse(async (response) => {
    if (!response.url().endsWith('/scheduling/visit') || response.status() !== 200) return false
    return (await response.json()).appointment.start === start
  })
  await seen
})

step('the patient cancels, and the clinic sees it', async () => {
  await patientPage.getByRole('button', { name: 'Cancel the visit' }).click()
  const dialog = patientPage.getByRole('dialog')
  await audit.visit(patientPage, 'cancel a visit')
  await dialog.getByRole('button', { name: 'Cancel the visit' }).click()
  await patientPage.getByRole('heading', { name: 'Your visit is cancelled' }).waitFor()
  await deskPage.goto(network.page(`/clinic/demo/day/${dayAt(start, ZONE)}`))
  await deskPage.getByRole('listitem').filter({ hasText: PATIENT.name }).getByText('Cancelled').waitFor()
  const again = await patient.page()
  await again.goto(link)
  await again.getByRole('heading', { name: 'Your visit is over' }).waitFor()
})

step('no page has a serious accessibility violation, and all fit a phone', () => {
  assert.deepEqual([...audit.accessibility, ...audit.layout], [])
})

/**
 * Takes a free time a week later, when patients may still change it, and confirms; answers its start.
 *
 * @param {import('playwright-core').Page} page
 * @param {'first' | 'last'} which
 */
async function moveTo(page, which) {
  const firstDay = page.locator('input[name=day]').first()
  const shown = await firstDay.inputValue()
  await page.getByRole('button', { name: 'Later days' }).click()
  await until('another week is shown', async () => (await firstDay.inputValue()) !== shown)
  const held = page.waitForResponse(
    (response) => response.url().endsWith('/scheduling/holds') && response.status() === 201,
  )
  await page.locator('button.time')[which]().click()
  const hold = await (await held).json()
  await page.getByRole('button', { name: 'Move the visit', exact: true }).click()
  return String(hold.start)
}
