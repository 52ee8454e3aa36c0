import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { inOrder } from './inOrder.js'
import { Network } from './network.js'
import { dayAt, findInvitation, giveDetails, signIn, signOut, takeFirstTime } from './steps.js'

const PATIENT = { name: 'Ines Quiroga', email: 'ines@patients.example' }
const REASON = 'The patient is on the phone, their doctor is ill'

/** @typedef {import('playwright-core').Page} Page */

/** @type {Network} */
let network
/** @type {Person} */
let staff
/** @type {Person} */
let somebody
/** @type {Page} */
let page
/** @type {Page} */
let patient
const audit = new Audit()
let visit = ''
let invitation = ''

before(async () => {
  network = await Network.start()
  staff = await Person.open('staff', { acceptDownloads: true })
  somebody = await Person.open('patient')
  page = await staff.page()
  patient = await somebody.page()
})

after(async () => {
  await staff?.close()
  await somebody?.close()
  await network?.remove()
})

const step = inOrder(() => [staff, somebody])

step('somebody books with one doctor, and the clinic shows doctors their own patients', async () => {
  await patient.goto(network.page('/c/demo'))
  await patient.getByLabel('Dr. Mira Okafor').check()
  const start = await takeFirstTime(patient)
  const booked = patient.waitForResponse((response) => response.url().endsWith('/payments/confirmations'))
  await giveDetails(patient, PATIENT)
  const { appointment } = await (await booked).json()
  visit = `/clinic/demo/day/${dayAt(start, 'Europe/Berlin')}/visit/${appointment.id}`

  await page.goto(network.page('/clinic/demo'))
  await signIn(page, network.account('clinic-admin'))
  invitation = await findInvitation(page, PATIENT.email)
  await page.getByRole('link', { name: 'Reviews' }).click()
  await page.getByText('There is nothing to review.').waitFor()
  await page.getByLabel('Clinicians open records of').selectOption('assigned')
  await audit.visit(page, 'reviews')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('Saved.').waitFor()
  await signOut(page)
})

step('another doctor opens the record with a reason, by keyboard', async () => {
  await signIn(page, network.account('doctor', 'jonas.lindqvist'))
  await page.goto(network.page(visit))
  await page.getByRole('heading', { name: 'This is not your patient' }).waitFor()
  await audit.visit(page, 'emergency')
  await page.getByLabel('Reason').focus()
  await page.keyboard.type(REASON)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Note' }).waitFor()
  await signOut(page)
})

step('the patient sees who it was', async () => {
  await patient.goto(invitation)
  await patient.getByRole('button', { name: 'Show me' }).click()
  await patient.getByText('Dr. Jonas Lindqvist (Doctor)').first().waitFor()
  await audit.visit(patient, 'who saw my record')
})

step('an administrator reviews it, once', async () => {
  await signIn(page, network.account('clinic-admin'))
  await page.getByRole('link', { name: 'Reviews' }).click()
  // At night there is another: then every access is told, for it is outside the usual hours.
  const emergency = page.getByRole('listitem').filter({ hasText: `Reason: ${REASON}` })
  await emergency.waitFor()
  await audit.visit(page, 'something to review')
  await emergency.getByRole('button', { name: 'Justified' }).click()
  await emergency.waitFor({ state: 'detached' })
  await page.getByLabel('Show').selectOption('all')
  await page.getByText(/^Justified: Ada Brandt/).waitFor()
})

step('… finds it among all events, and takes the list along', async () => {
  await page.getByRole('link', { name: 'Who saw what' }).click()
  await page.getByRole('button', { name: 'Dr. Jonas Lindqvist' }).first().click()
  await page.getByRole('button', { name: 'No longer only Dr. Jonas Lindqvist' }).waitFor()
  await page.getByLabel('What, as a code').fill('emergency-access')
  await page.getByRole('button', { name: 'Search' }).click()
  await page.getByText('1 event', { exact: true }).waitFor()
  await page.getByRole('button', { name: PATIENT.name }).waitFor()
  await audit.visit(page, 'audit')
  const csv = await download('Table (CSV)')
  const lines = csv.toString().trim().split('\r\n')
  assert.equal(lines.length, 2, csv.toString())
  assert.match(lines[1] ?? '', /emergency-access,staff,[\w-]+,jonas\.lindqvist,Encounter/)
  assert.ok(!csv.includes('Quiroga'), 'no patient is named in a file')
  assert.equal((await download('To print (PDF)')).subarray(0, 5).toString(), '%PDF-')
})

step('roles are looked through, and licences kept', async () => {
  await page.getByRole('link', { name: 'Staff', exact: true }).click()
  await page.getByRole('link', { name: 'Review of roles' }).click()
  await page.getByLabel('To be finished by').fill('2030-01-31')
  await page.getByRole('button', { name: 'Begin a review' }).click()
  await page.getByText('4 people left').waitFor()
  await page.getByRole('button', { name: 'Keep: Petra Novak' }).click()
  await page.getByText('3 people left').waitFor()
  await audit.visit(page, 'review of roles')
  await page.getByRole('link', { name: 'Staff', exact: true }).click()
  await page.getByRole('link', { name: 'Licences' }).click()
  await page.getByText('There are none yet.').waitFor()
  await page.getByRole('button', { name: 'Add a licence' }).click()
  await page.getByLabel('Whose').selectOption('Dr. Mira Okafor')
  await page.getByLabel('Country or state').fill('DE')
  await page.getByLabel('Number').fill('A 1234')
  await page.getByLabel('Valid from').fill('2020-01-01')
  await page.getByLabel('Valid until').fill('2020-12-31')
  await audit.visit(page, 'new licence')
  await page.getByRole('button', { name: 'Add', exact: true }).click()
  await page.getByText('1 licence ends soon or has ended.').waitFor()
  await audit.visit(page, 'licences')
})

test('no page has a serious accessibility violation', () => {
  assert.ok(audit.visited.length >= 8, `visited only ${audit.visited.join(', ')}`)
  assert.deepEqual(audit.accessibility, [])
})

test('every page fits 360 pixels, with targets that a thumb can hit', () => {
  assert.deepEqual(audit.layout, [])
})

test('no page broke its content security policy or threw', () => {
  assert.deepEqual([...staff.uncaught, ...somebody.uncaught], [])
})

/** @param {string} name */
async function download(name) {
  const begun = page.waitForEvent('download')
  await page.getByRole('button', { name }).click()
  const file = await begun
  return readFile(await file.path())
}
