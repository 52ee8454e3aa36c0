import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { authenticator } from './authenticator.js'
import { Person } from './browser.js'
import { inOrder } from './inOrder.js'
import { Network } from './network.js'
import { dayAt, findInvitation, giveDetails, signIn, takeFirstTime } from './steps.js'

const EMAIL = 'account@patients.example'

/** @typedef {import('playwright-core').Page} Page */

/** @type {Network} */
let network
/** @type {Person[]} */
const people = []
/** @type {Page} */
let patient
/** @type {Page} */
let carer
/** @type {Page} */
let desk
/** @type {Page} */
let office
const audit = new Audit()
let invitation = ''
let day = ''

/** @param {string} name */
async function open(name) {
  const person = await Person.open(name)
  people.push(person)
  return person.page()
}

before(async () => {
  network = await Network.start()
  patient = await open('patient')
  carer = await open('carer')
  desk = await open('desk')
  office = await open('office')
})

after(async () => {
  for (const person of people) await person.close()
  await network?.remove()
})

const step = inOrder(() => people)

step('an administrator has links ask who opens them', async () => {
  await office.goto(network.page('/clinic/demo'))
  await signIn(office, network.account('clinic-admin'))
  await office.getByRole('link', { name: 'Rules' }).click()
  await office.getByLabel('In every browser once').check()
  await audit.visit(office, 'settings')
  await office.getByRole('button', { name: 'Save' }).click()
  await office.getByText('Saved. It holds from now on.').waitFor()
})

step('the link opens for who knows the date of birth', async () => {
  await patient.goto(network.page('/c/demo'))
  day = dayAt(await takeFirstTime(patient), 'Europe/Berlin')
  await giveDetails(patient, { name: 'Ada Account', email: EMAIL })
  await desk.goto(network.page('/clinic/demo'))
  await signIn(desk, network.account('front-desk'))
  invitation = await findInvitation(desk, EMAIL)
  await patient.goto(invitation)
  await patient.getByRole('heading', { name: 'Is this your visit?' }).waitFor()
  await audit.visit(patient, 'proof')
  await giveBirthDate(patient, '15')
  await patient.getByRole('button', { name: 'Open the visit' }).click()
  await patient.getByText('That is not what we know.').waitFor()
  await giveBirthDate(patient, '14')
  await patient.getByRole('button', { name: 'Open the visit' }).click()
  await patient.getByRole('button', { name: 'Turn on camera and microphone' }).waitFor()
  await patient.reload()
  await patient.getByRole('button', { name: 'Turn on camera and microphone' }).waitFor()
})

step('a code by mail opens the account, which lists the visit', async () => {
  await patient.goto(network.page('/c/demo/account'))
  await patient.getByLabel('E-mail').fill(EMAIL)
  await audit.visit(patient, 'account sign-in')
  await patient.getByRole('button', { name: 'Send me a code' }).click()
  await patient.getByText('a code is on its way').waitFor()
  await patient.getByLabel('Code from the message').fill(await codeSent())
  await giveBirthDate(patient, '14')
  await audit.visit(patient, 'account code')
  await patient.getByRole('button', { name: 'Sign in', exact: true }).click()
  await patient.getByRole('heading', { name: 'Your visits' }).waitFor()
  await patient.getByText('Ada Account').waitFor()
  await patient.getByRole('link', { name: /^Go to the visit on/ }).waitFor()
})

step('with a passkey nothing needs to be typed the next time', async () => {
  await authenticator(patient)
  await patient.getByRole('button', { name: 'Add a passkey' }).click()
  await patient.getByRole('button', { name: /^Take back: / }).waitFor()
  await audit.visit(patient, 'account')
  await patient.getByRole('button', { name: 'Sign out' }).click()
  await patient.getByRole('button', { name: 'Sign in with a passkey' }).click()
  await patient.getByRole('heading', { name: 'Your visits' }).waitFor()
})

step('a visit opens from the list', async () => {
  await patient.getByRole('link', { name: /^Go to the visit on/ }).click()
  await patient.getByRole('button', { name: 'Turn on camera and microphone' }).waitFor()
})

step('a carer is invited with the keyboard alone, comes and sees the visit', async () => {
  await patient.goto(network.page('/c/demo/account'))
  await patient.getByRole('button', { name: 'Let somebody act' }).focus()
  await patient.keyboard.press('Enter')
  await patient.getByLabel('Their name').focus()
  await patient.keyboard.type('Carla Carer')
  await patient.keyboard.press('Tab')
  await patient.keyboard.type('carla@carers.example')
  await patient.keyboard.press('Tab')
  await patient.keyboard.type('Carer')
  await patient.getByLabel('Last day').fill('2030-12-31')
  await audit.visit(patient, 'new proxy')
  await patient.getByRole('button', { name: 'Send them the link' }).focus()
  await patient.keyboard.press('Enter')
  await patient.getByText('The link is on its way to carla@carers.example.').waitFor()
  await patient.getByText(/^Carer, until .* May: .*has not come yet$/).waitFor()

  await desk.reload()
  const message = desk.getByRole('listitem').filter({ hasText: 'carla@carers.example' })
  await carer.goto((await message.getByRole('link').getAttribute('href')) ?? '')
  await carer.getByRole('heading', { name: 'Visits of Ada Account' }).waitFor()
  assert.equal(new URL(carer.url()).hash, '', 'the secret left the address bar')
  await audit.visit(carer, 'proxy')
  assert.equal(await carer.getByRole('link', { name: 'Book a visit' }).count(), 0, 'booking was not given')
  await carer.getByRole('link', { name: /^Go to the visit on/ }).click()
  await carer.getByRole('button', { name: 'Turn on camera and microphone' }).waitFor()
})

step('front desk sees the carer and takes it back: they are out', async () => {
  await desk.goto(network.page(`/clinic/demo/day/${day}`))
  await desk.getByRole('button', { name: 'Carers of Ada Account' }).click()
  await desk.getByText('Carla Carer').waitFor()
  await audit.visit(desk, 'proxies at the desk')
  await desk.getByRole('button', { name: 'Take back: Carla Carer' }).click()
  await desk.getByText('Nobody.').waitFor()
  await desk.getByRole('button', { name: 'Close' }).click()
  await carer.goto(network.page('/c/demo/account'))
  await carer.getByRole('heading', { name: 'Your visits at this clinic' }).waitFor()
})

step('a patient who reads Spanish gets Spanish pages', async () => {
  const person = await Person.open('spanish', { locale: 'es-ES' })
  people.push(person)
  const page = await person.page()
  await page.goto(network.page('/c/demo/account'))
  await page.getByRole('heading', { name: 'Sus visitas en esta clínica' }).waitFor()
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'es')
  await audit.visit(page, 'Spanish')
  await page.goto(network.page('/c/demo'))
  await page.getByRole('heading', { name: 'Reservar una visita por vídeo' }).waitFor()
})

step('a second device is let in by its number, picked on the first', async () => {
  const { username, password } = network.account('clinic-admin')
  const second = await open('second device')
  const begin = async () => {
    await second.goto(network.page('/clinic/demo'))
    await second.getByLabel('User name').fill(username)
    await second.getByLabel('Password').fill(password)
    await second.getByRole('button', { name: 'Sign in' }).click()
    await second.getByRole('button', { name: 'Approve on another device' }).click()
  }
  await begin()
  await second.locator('.approval-number').waitFor()
  await audit.visit(second, 'approval number')
  await office.getByRole('button', { name: 'No, this is not me' }).click()
  await second.getByText('It was refused, or another number was picked.').waitFor()
  await second.getByRole('button', { name: 'Ask again' }).click()
  await second.getByText('It was refused').waitFor({ state: 'detached' })
  const number = await second.locator('.approval-number').textContent()
  await office.getByRole('heading', { name: 'Is this you, signing in?' }).waitFor()
  await audit.visit(office, 'approval')
  await office.getByRole('button', { name: `It shows ${number}` }).click()
  await second.getByRole('heading', { name: 'Visits' }).waitFor()
})

test('no page has a serious accessibility violation', () => {
  assert.ok(audit.visited.length >= 10, `visited only ${audit.visited.join(', ')}`)
  assert.deepEqual(audit.accessibility, [])
})

test('every page fits 360 pixels, with targets that a thumb can hit', () => {
  assert.deepEqual(audit.layout, [])
})

test('no page broke its content security policy or threw', () => {
  assert.deepEqual(
    people.flatMap((person) => person.uncaught),
    [],
  )
})

/**
 * @param {Page} page
 * @param {string} day
 */
async function giveBirthDate(page, day) {
  await page.getByLabel('Day', { exact: true }).fill(day)
  await page.getByLabel('Month').fill('3')
  await page.getByLabel('Year').fill('1956')
}

/** The code of the message that was sent last, as the demo's outbox shows it. */
async function codeSent() {
  await desk.reload()
  const message = desk.getByRole('listitem').filter({ hasText: 'Your code for' }).first()
  const code = /code is (\d{3} \d{3})/.exec((await message.textContent()) ?? '')?.[1]
  assert.ok(code, 'no code was sent')
  return code
}
