import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { Network } from './network.js'
import { dayAt, findInvitation, signIn, takeFirstTime } from './steps.js'
import { Stripe } from './stripe.js'

const ZONE = 'Europe/Berlin'
const EMAIL = 'card@patients.example'

/** @type {Stripe} */
let stripe
/** @type {Network} */
let network
/** @type {Person} */
let patient
/** @type {Person} */
let desk
const audit = new Audit()

before(async () => {
  stripe = await Stripe.start()
  network = await Network.start(1, stripe.options())
  patient = await Person.open('payer')
  desk = await Person.open('payments-desk')
})

after(async () => {
  await patient?.close()
  await desk?.close()
  await network?.remove()
  stripe?.stop()
})

afterEach(async (context) => {
  if ('passed' in context && context.passed) return
  await patient.keepEvidence(context.name)
  await desk.keepEvidence(context.name)
})

/**
 * Types a card into the provider's field.
 *
 * @param {import('playwright-core').Page} page
 * @param {string} number
 */
async function giveCard(page, number) {
  const field = page.getByRole('group', { name: 'Your card' })
  const card = { number, exp_month: '12', exp_year: '44', cvc: '123', postal_code: '10115' }
  for (const [name, value] of Object.entries(card)) {
    await field.getByPlaceholder(name, { exact: true }).fill(value)
  }
  await page.getByRole('button', { name: 'Book with this card' }).click()
}

test('a visit is paid for by card, charged and refunded by the clinic, and the patient has the receipt', async () => {
  const page = await patient.page()
  await page.goto(network.page('/c/demo'))
  const start = await takeFirstTime(page)
  await page.getByLabel('Full name').fill('Carla Card')
  await page.getByLabel('Day', { exact: true }).fill('14')
  await page.getByLabel('Month').fill('3')
  await page.getByLabel('Year').fill('1956')
  await page.getByLabel('E-mail').fill(EMAIL)
  await page.getByRole('button', { name: 'Go on to the card' }).click()

  await giveCard(page, '4000000000000341')
  await page.getByText('Your bank did not accept this. Nothing is charged.').waitFor()
  await audit.visit(page, 'card')
  await giveCard(page, '4000002500003155')
  await page.getByRole('button', { name: 'Complete authentication' }).click()
  await page.getByRole('heading', { name: 'Your visit is booked' }).waitFor()
  await page.getByText('It is charged after the visit.').waitFor()

  const staff = await desk.page()
  await staff.goto(network.page('/clinic/demo'))
  await signIn(staff, network.account('front-desk'))
  const link = await findInvitation(staff, EMAIL)
  await staff.getByRole('link', { name: 'Payments' }).click()
  await staff.getByLabel('Visits of').fill(dayAt(start, ZONE))
  const invoice = staff.getByRole('article').filter({ hasText: 'Carla Card' })
  await invoice.getByText('Card authorised').waitFor()
  await audit.visit(staff, 'payments')
  await invoice.getByRole('button', { name: 'Charge the card now' }).click()
  await invoice.getByText('Paid by card').waitFor()

  await page.goto(link)
  await page.getByRole('heading', { name: 'Invoice' }).waitFor()
  const saved = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Save the receipt' }).click()
  assert.match((await saved).suggestedFilename(), /^receipt-\d+\.pdf$/)
  await audit.visit(page, 'visit with invoice')
  await staff.context().clearCookies()
})

test('an administrator gives a part back, sees the day, and says what a no-show costs', async () => {
  const staff = await desk.page()
  await staff.goto(network.page('/clinic/demo'))
  await signIn(staff, network.account('clinic-admin'))
  await staff.getByRole('link', { name: 'Payments' }).click()
  const day = staff.getByLabel('Visits of')
  for (let ahead = 0; ahead < 8; ahead++) {
    await day.fill(dayAt(new Date(Date.now() + ahead * 86_400_000).toISOString(), ZONE))
    const list = staff.getByText('There are no visits on this day.').or(staff.getByRole('article').first())
    await list.first().waitFor()
    if (await staff.getByRole('article').filter({ hasText: 'Carla Card' }).count()) break
  }
  const invoice = staff.getByRole('article').filter({ hasText: 'Carla Card' })
  await invoice.getByRole('button', { name: 'Refund' }).click()
  await invoice.getByLabel('Amount').fill('15.00')
  await invoice.getByRole('button', { name: 'Save' }).click()
  await invoice.getByText('€15.00').waitFor()

  await staff.getByRole('button', { name: 'Show', exact: true }).click()
  const line = staff.getByRole('row').filter({ hasText: 'Card online' })
  await line.getByText('95.00 EUR').waitFor()
  await staff.getByLabel('Percent of the price').fill('50')
  await staff.getByRole('button', { name: 'Save', exact: true }).last().click()
  await staff.getByText('Saved.').waitFor()
  await staff.getByRole('button', { name: 'Compare with the provider' }).click()
  await staff.getByText('the books agree with the provider').waitFor()
  await audit.visit(staff, 'payments of an administrator')
  // The card's inputs are localstripe's own.
  const ours = audit.layout.filter(
    (line) => !line.startsWith('card: too small to hit: <input type="text" placeholder='),
  )
  assert.deepEqual([...audit.accessibility, ...ours], [])
})

test('whoever likes pays at the clinic all the same', async () => {
  const page = await patient.page()
  await page.goto(network.page('/c/demo'))
  await takeFirstTime(page)
  await page.getByLabel('Full name').fill('Cora Cash')
  await page.getByLabel('Day', { exact: true }).fill('14')
  await page.getByLabel('Month').fill('3')
  await page.getByLabel('Year').fill('1956')
  await page.getByLabel('E-mail').fill('cash@patients.example')
  await page.getByRole('button', { name: 'Confirm and pay at the clinic' }).click()
  await page.getByText(/You pay .* at the clinic/).waitFor()
})
