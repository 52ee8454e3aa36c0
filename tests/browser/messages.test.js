import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { inOrder } from './inOrder.js'
import { Mail } from './mail.js'
import { Network } from './network.js'
import { dayAt, giveDetails, signIn, takeFirstTime } from './steps.js'

const EMAIL = 'mona@patients.example'
/** The mail server of the tests refuses such addresses. */
const REFUSED = 'nobody@patients.example'

/** @typedef {import('playwright-core').Page} Page */

/** @type {Network} */
let network
/** @type {Mail} */
let mail
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

/** @param {string} name */
async function open(name) {
  const person = await Person.open(name)
  people.push(person)
  return person.page()
}

before(async () => {
  mail = await Mail.start()
  network = await Network.start(1, mail.options())
  patient = await open('patient')
  desk = await open('desk')
  doctor = await open('doctor')
})

after(async () => {
  for (const person of people) await person.close()
  await network?.remove()
  await mail?.stop()
})

const step = inOrder(() => people)

step('what a mail server refuses is on the list of the front desk, and goes by their word', async () => {
  await patient.goto(network.page('/c/demo'))
  day = dayAt(await takeFirstTime(patient), 'Europe/Berlin')
  await giveDetails(patient, { name: 'Nora Nobody', email: REFUSED })
  await desk.goto(network.page('/clinic/demo'))
  await signIn(desk, network.account('front-desk'))
  await desk.getByRole('link', { name: 'Messages' }).click()
  await desk.getByRole('heading', { name: REFUSED }).waitFor()
  await desk.getByText('Refused', { exact: true }).waitFor()
  await audit.visit(desk, 'message work')
  await desk.getByRole('button', { name: `Send once more: ${REFUSED}` }).click()
  await desk.getByText('Nothing to see to.').waitFor()
  await desk.getByRole('heading', { name: REFUSED }).waitFor()
  await desk.getByRole('button', { name: `Seen to: ${REFUSED}` }).click()
  await desk.getByText('Nothing to see to.').waitFor()
})

step('a clinician plans the next visit and writes to the patient', async () => {
  await patient.goto(network.page('/c/demo'))
  await takeFirstTime(patient)
  const confirmed = patient.waitForResponse((response) => response.url().endsWith('/payments/confirmations'))
  await giveDetails(patient, { name: 'Mona Messages', email: EMAIL })
  const { appointment } = await (await confirmed).json()
  await doctor.goto(network.page('/clinic/demo'))
  await signIn(doctor, network.account('doctor'))
  await doctor.goto(network.page(`/clinic/demo/day/${day}/visit/${appointment.id}`))
  await doctor.getByText('Plan the next visit').click()
  await doctor.getByLabel('What for').fill('Check the blood pressure')
  await doctor
    .getByLabel('Due on')
    .fill(dayAt(new Date(Date.now() + 7 * 86_400_000).toISOString(), 'Europe/Berlin'))
  await doctor.getByRole('button', { name: 'Plan', exact: true }).click()
  await doctor.getByText('Planned.').waitFor()
  await audit.visit(doctor, 'consult with recall')
  await doctor.getByRole('link', { name: 'Write to the patient' }).click()
  await doctor.getByLabel('Your message').fill('Please measure it every morning.')
  await doctor.getByRole('button', { name: 'Send', exact: true }).click()
  await doctor.getByRole('listitem').filter({ hasText: 'every morning' }).waitFor()
  await audit.visit(doctor, 'conversation')
})

step('the patient reads it in their account and answers', async () => {
  await patient.goto(network.page('/c/demo/account/messages'))
  await patient.getByLabel('E-mail').fill(EMAIL)
  await patient.getByRole('button', { name: 'Send me a code' }).click()
  await patient.getByText('a code is on its way').waitFor()
  await desk.getByRole('link', { name: 'Demo outbox' }).click()
  const message = desk.getByRole('listitem').filter({ hasText: 'Your code for' }).first()
  const code = /code is (\d{3} \d{3})/.exec((await message.textContent()) ?? '')?.[1]
  assert.ok(code, 'no code was sent')
  await patient.getByLabel('Code from the message').fill(code)
  await patient.getByLabel('Day', { exact: true }).fill('14')
  await patient.getByLabel('Month').fill('3')
  await patient.getByLabel('Year').fill('1956')
  await patient.getByRole('button', { name: 'Sign in', exact: true }).click()
  await patient.getByText('Please measure it every morning.').waitFor()
  await patient.getByLabel('Your message').fill('I will.')
  await patient.getByRole('button', { name: 'Send', exact: true }).click()
  await patient.getByRole('listitem').filter({ hasText: 'I will.' }).waitFor()
  await audit.visit(patient, 'own messages')
  await doctor.getByRole('link', { name: 'Conversations' }).click()
  await doctor.getByText('Waits for an answer').waitFor()
  await audit.visit(doctor, 'conversations')
})

step('who is to be seen again is on the list, with the reason for who treats only', async () => {
  await doctor.getByRole('link', { name: 'Recalls' }).click()
  await doctor.getByText('Check the blood pressure').waitFor()
  await desk.getByRole('link', { name: 'Recalls' }).click()
  await desk.getByRole('heading', { name: 'Mona Messages' }).waitFor()
  assert.equal(await desk.getByText('Check the blood pressure').count(), 0)
  await audit.visit(desk, 'recalls')
  await desk.getByRole('button', { name: 'Write now: Mona Messages' }).click()
  await desk.getByText(/^1 message so far/).waitFor()
  await desk.getByRole('button', { name: 'Need not come: Mona Messages' }).click()
  await desk.getByText('Nobody is due.').waitFor()
})

step('the link that ends reminders changes nothing before somebody says so', async () => {
  await patient.goto(network.page('/c/demo/no-messages#not-a-link'))
  await audit.visit(patient, 'no messages')
  await patient.getByRole('button', { name: 'No more reminders' }).click()
  await patient.getByText('This link is not known.').waitFor()
  assert.equal(new URL(patient.url()).hash, '', 'the secret left the address bar')
})

test('no page has a serious accessibility violation', () => {
  assert.ok(audit.visited.length >= 7, `visited only ${audit.visited.join(', ')}`)
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
