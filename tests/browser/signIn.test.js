import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { inOrder } from './inOrder.js'
import { Network } from './network.js'
import { signIn, signOut } from './steps.js'

const PASSWORD = 'tulips over Oslo'

/** @typedef {import('playwright-core').Page} Page */

/** @type {Network} */
let network
/** @type {Person} */
let administrator
/** @type {Person} */
let newcomer
/** @type {Page} */
let office
/** @type {Page} */
let page
const audit = new Audit()
/** What the newcomer has to keep. */
let link = ''
let secret = ''
/** @type {string[]} */
let recoveryCodes = []

before(async () => {
  network = await Network.start()
  administrator = await Person.open('administrator')
  newcomer = await Person.open('newcomer')
  office = await administrator.page()
  page = await newcomer.page()
})

after(async () => {
  await administrator?.close()
  await newcomer?.close()
  await network?.remove()
})

const step = inOrder(() => [administrator, newcomer])

step('an administrator signs in with a passkey and adds somebody', async () => {
  await office.goto(network.page('/clinic/demo'))
  await signIn(office, network.account('clinic-admin'))
  await office.getByRole('link', { name: 'Staff' }).click()
  await office.getByRole('heading', { name: 'Dr. Mira Okafor' }).waitFor()
  await audit.visit(office, 'staff')
  await office.getByRole('button', { name: 'Add somebody' }).click()
  await office.getByLabel('Name', { exact: true }).fill('Nora Newman')
  await office.getByLabel('User name').fill('nora')
  await office.getByLabel('Nurse').check()
  await audit.visit(office, 'new member')
  await office.getByRole('button', { name: 'Add', exact: true }).click()
  await office.getByText('The link for Nora Newman').waitFor()
  await audit.visit(office, 'link')
  link = (await office.locator('.secret').textContent()) ?? ''
  assert.match(link, /\/clinic\/demo\/enrol#[\w-]{40,}$/)
})

step('the newcomer chooses a password; one that is tried first is refused', async () => {
  await page.goto(link)
  await page.getByLabel('New password').fill('password123')
  assert.equal(new URL(page.url()).hash, '', 'the secret left the address bar')
  await page.getByRole('button', { name: 'Go on' }).click()
  await page.getByText('Too short, or one that is tried first.').waitFor()
  await audit.visit(page, 'weak password')
  await page.getByLabel('New password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Go on' }).click()
  await page.getByRole('heading', { name: 'Protect your account' }).waitFor()
  await audit.visit(page, 'enrolment')
})

step('… enrols an app, and keeps the recovery codes', async () => {
  await page.getByRole('button', { name: 'Use an authenticator app' }).click()
  await page.getByRole('img', { name: 'QR code for your authenticator app' }).waitFor()
  await page.getByText('I cannot scan it').click()
  secret = ((await page.locator('.secret').textContent()) ?? '').replaceAll(' ', '')
  await audit.visit(page, 'app')
  await page.getByLabel('Code from your app').fill('000000')
  await page.getByRole('button', { name: 'Done' }).click()
  await page.getByText('That code is not right.').waitFor()
  await page.getByLabel('Code from your app').fill(totp(secret))
  await page.getByRole('button', { name: 'Done' }).click()
  await page.getByRole('heading', { name: 'Keep these recovery codes' }).waitFor()
  await audit.visit(page, 'recovery codes')
  recoveryCodes = await page.locator('.recovery-codes li').allTextContents()
  assert.equal(recoveryCodes.length, 10)
  await page.getByRole('button', { name: 'I have kept them' }).click()
  await page.getByRole('heading', { name: 'Visits' }).waitFor()
  assert.equal(new URL(page.url()).pathname, '/clinic/demo')
})

step('signing in again takes a second step, and a recovery code will do', async () => {
  await signOut(page)
  await givePassword()
  await audit.visit(page, 'second step')
  await page.getByLabel('Code from your app').fill('123456')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('That was not it').waitFor()
  await page.getByRole('button', { name: 'I do not have it with me' }).click()
  await page.getByLabel('Recovery code').fill(recoveryCodes[0] ?? '')
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'Visits' }).waitFor()
})

step('the account page shows what there is, and ends what is elsewhere', async () => {
  await page.getByRole('link', { name: 'Your account' }).click()
  await page.getByText('9 recovery codes left').waitFor()
  await page.getByText('Authenticator app', { exact: true }).waitFor()
  await page.getByText('Here', { exact: true }).waitFor()
  await audit.visit(page, 'account')
  await page.getByRole('button', { name: 'Remove Authenticator app' }).click()
  await page.getByText('This is the only one you have.').waitFor()
})

step('who leaves is out at once', async () => {
  await office.getByRole('button', { name: 'Done' }).click()
  const nora = office
    .getByRole('listitem')
    .filter({ has: office.getByRole('heading', { name: 'Nora Newman' }) })
  await nora.getByRole('button', { name: 'Roles' }).click()
  await office.getByRole('dialog').getByLabel('Front desk').check()
  await office.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
  await nora.getByText('nora · Nurse, Front desk').or(nora.getByText('nora · Front desk, Nurse')).waitFor()
  await nora.getByRole('button', { name: 'Leaves' }).click()
  await audit.visit(office, 'leaving')
  await office.getByRole('dialog').getByRole('button', { name: 'Let them go' }).click()
  await nora.getByText('Left', { exact: true }).waitFor()
  await page.goto(network.page('/clinic/demo'))
  await page.getByRole('heading', { name: 'Staff sign-in' }).waitFor()
  await page.getByLabel('User name').fill('nora')
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByText('User name or password is not right.').waitFor()
})

test('no page has a serious accessibility violation', () => {
  assert.ok(audit.visited.length >= 10, `visited only ${audit.visited.join(', ')}`)
  assert.deepEqual(audit.accessibility, [])
})

test('every page fits 360 pixels, with targets that a thumb can hit', () => {
  assert.deepEqual(audit.layout, [])
})

test('no page broke its content security policy or threw', () => {
  assert.deepEqual([...administrator.uncaught, ...newcomer.uncaught], [])
})

async function givePassword() {
  await page.getByLabel('User name').fill('nora')
  await page.getByLabel('Password').fill(PASSWORD)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('heading', { name: 'One more step' }).waitFor()
}

/**
 * RFC 6238, of the present time.
 *
 * @param {string} base32
 */
function totp(base32) {
  const bits = [...base32].map((letter) =>
    'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0'),
  )
  const key = Buffer.from((bits.join('').match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)))
  const hash = createHmac('sha1', key).update(counter).digest()
  const offset = (hash.at(-1) ?? 0) & 15
  return String((hash.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0')
}
