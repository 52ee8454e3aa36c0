import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { inOrder } from './inOrder.js'
import { Network } from './network.js'
import { signIn } from './steps.js'

/** @typedef {import('playwright-core').Page} Page */

/** @type {Network} */
let network
/** @type {Person} */
let staff
/** @type {Page} */
let page
const audit = new Audit()

before(async () => {
  network = await Network.start()
  staff = await Person.open('staff')
  page = await staff.page()
})

after(async () => {
  await staff?.close()
  await network?.remove()
})

const step = inOrder(() => [staff])

step('an administrator sees what is missing, and a price that cannot be is marked', async () => {
  await page.goto(network.page('/clinic/demo'))
  await signIn(page, network.account('clinic-admin'))
  await page.getByRole('link', { name: 'Set-up' }).click()
  await page.getByRole('heading', { name: 'Patients can book' }).waitFor()
  await page.getByText('A privacy officer').waitFor()
  await page.getByLabel('Privacy officer', { exact: true }).fill('Priya Vacy')
  await page.getByLabel('Their e-mail address').fill('privacy@riverside.example')
  await page.getByLabel('Price, such as 60.00').first().fill('-5.00')
  await page.getByRole('button', { name: 'See what would change' }).click()
  await page.getByText('Something is not right yet').waitFor()
  assert.equal(await page.getByLabel('Price, such as 60.00').first().getAttribute('aria-invalid'), 'true')
  await audit.visit(page, 'set-up')
})

step('the difference is shown before it is done, and patients see what was done', async () => {
  const service = page.getByRole('region', { name: 'Services' }).locator('fieldset').first()
  const name = await service.getByLabel('Name', { exact: true }).inputValue()
  await service.getByLabel('Price, such as 60.00').fill('77.00')
  await page.getByRole('button', { name: 'See what would change' }).click()
  const changes = page.getByRole('region', { name: 'This would change' })
  await changes.getByText('price').waitFor()
  await changes.getByText('privacyOfficer').waitFor()
  await audit.visit(page, 'set-up-changes')
  await page.getByRole('button', { name: 'Change it' }).click()
  await changes.waitFor({ state: 'detached' })
  await page.goto(network.page('/c/demo'))
  await page.getByText(name).first().waitFor()
  await page.getByText('77.00').first().waitFor()
})

test('no page has a serious accessibility violation, and every page fits 360 pixels', () => {
  assert.equal(audit.visited.length, 2)
  assert.deepEqual(audit.accessibility, [])
  assert.deepEqual(audit.layout, [])
  assert.deepEqual(staff.uncaught, [])
})
