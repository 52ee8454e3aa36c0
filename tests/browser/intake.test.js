import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { LOOKS } from './camera.js'
import { inOrder } from './inOrder.js'
import { seesAndHears } from './media.js'
import { Network } from './network.js'
import { dayAt, giveDetails, goToWaitingRoom, signIn, signOut, takeFirstTime, yesOrNo } from './steps.js'
import { until } from './until.js'

// Questions and consent before a visit; in the middle of it the patient's edge host dies.

const PATIENT = { name: 'Quinn Query', email: 'quinn@patients.example' }
const REASON = 'The cough is back, and I am tired'
/** Until another region leads the records. */
const PROMOTED_MS = 60_000

/** @typedef {import('playwright-core').Page} Page */

const audit = new Audit()
/** @type {Network} */
let network
/** @type {Record<'patient' | 'phone' | 'clinic', Person>} */
let people
/** @type {Page} */
let patient
/** @type {Page} */
let phone
/** @type {Page} */
let clinic
/** Links of the two visits. */
let [earlier, later] = ['', '']
let visit = ''

before(async () => {
  network = await Network.start(3)
  people = {
    patient: await Person.open('patient', {}, LOOKS.patient),
    phone: await Person.open(
      'phone',
      { locale: 'es-ES', viewport: { width: 390, height: 800 } },
      LOOKS.patient,
    ),
    clinic: await Person.open('clinic', {}, LOOKS.clinic),
  }
  patient = await people.patient.page()
  phone = await people.phone.page()
  clinic = await people.clinic.page()
})

after(async () => {
  await Promise.allSettled(Object.values(people ?? {}).map((person) => person.close()))
  await network?.remove()
})

const step = inOrder(() => Object.values(people))

step('the same person books twice', async () => {
  let [start, id] = ['', '']
  for (let visits = 0; visits < 2; visits++) {
    await patient.goto(network.page('/c/demo'))
    // Of two doctors both would be free at one time.
    await patient.getByLabel('Dr. Mira Okafor').check()
    const next = await takeFirstTime(patient)
    assert.ok(start < next, 'the first free time is the earlier one')
    start = next
    const booked = patient.waitForResponse((response) => response.url().endsWith('/payments/confirmations'))
    await giveDetails(patient, PATIENT)
    id = (await (await booked).json()).appointment.id
  }
  visit = `/clinic/demo/day/${dayAt(start, 'Europe/Berlin')}/visit/${id}`
  await clinic.goto(network.page('/clinic/demo'))
  await signIn(clinic, network.account('front-desk'))
  await clinic.getByRole('link', { name: 'Demo outbox' }).click()
  const messages = clinic.getByRole('listitem').filter({ hasText: PATIENT.email })
  await messages.nth(1).waitFor()
  // The newest stands first.
  const found = await messages
    .getByRole('link')
    .evaluateAll((all) => all.map((link) => link.getAttribute('href')))
  assert.equal(found.length, 2)
  ;[later, earlier] = [String(found[0]), String(found[1])]
  await signOut(clinic)
})

step('a question is asked after the answers that lead to it, and what is missing is told', async () => {
  await patient.goto(earlier)
  await patient.getByRole('button', { name: 'Answer a few questions' }).click()
  await audit.visit(patient, 'questions')
  await patient.getByLabel('What brings you here?').fill('A cough')
  assert.equal(await patient.getByLabel('Since when?').count(), 0)
  await yesOrNo(patient, 'Do you have any symptoms now?', 'Yes')
  await patient.getByLabel('Since when?').waitFor()
  await patient.getByRole('checkbox', { name: 'Pain' }).check()
  await patient.getByLabel('How strong is the pain').fill('9')
  await patient.getByText('If the pain is unbearable').waitFor()
  await patient.getByLabel('How strong is the pain').fill('some')
  await patient.getByText('If the pain is unbearable').waitFor({ state: 'detached' })
  await patient.getByRole('button', { name: 'Done' }).click()
  await patient.getByText('Please check what you typed.').waitFor()
  await patient.getByText('Please answer this.').first().waitFor()
  const focused = () =>
    patient.evaluate(() => document.activeElement?.closest('[data-question]')?.getAttribute('data-question'))
  assert.equal(await focused(), 'since', 'the first that is wrong has the focus')
  await audit.visit(patient, 'questions with mistakes')
  await patient.getByLabel('How strong is the pain').fill('4')
  await patient.getByLabel('Since when?').fill('2026-01-31')
  await yesOrNo(patient, 'Are you allergic to anything?', 'Yes')
  await patient.getByLabel('What are you allergic to?').fill('Penicillin')
  await patient.getByRole('button', { name: 'Done' }).click()
  await patient.getByText('Thank you. The clinic has your answers.').waitFor()
  await audit.visit(patient, 'answered')
})

step('what is typed outlives a reload at once', async () => {
  await patient.goto(later)
  await patient.getByRole('button', { name: 'Answer a few questions' }).click()
  // Before anything can reach the clinic.
  await patient.route('**/records/visit/intake', (route) =>
    route.request().method() === 'PUT' ? route.abort() : route.continue(),
  )
  await patient.getByLabel('What brings you here?').fill('The cough')
  await patient.reload()
  await patient.getByLabel('What brings you here?').waitFor()
  assert.equal(await patient.getByLabel('What brings you here?').inputValue(), 'The cough')
  await patient.unroute('**/records/visit/intake')
})

step('… and the end of the patient’s edge host, in another region too', async () => {
  network.signal('edge-us-west', 'SIGKILL')
  await patient.getByLabel('What brings you here?').fill(REASON)
  await yesOrNo(patient, 'Do you have any symptoms now?', 'No')
  await patient.getByText('Saved', { exact: true }).waitFor({ timeout: PROMOTED_MS })
  await phone.goto(there(later))
  const reason = phone.getByLabel('¿Qué le trae por aquí?')
  const begin = phone.getByRole('button', { name: 'Responder a unas preguntas' })
  // Another profile, at a region of which nobody has waited for the copy.
  await until('the answers are in the other region', async () => {
    await reason.or(begin).waitFor()
    if (await reason.isVisible()) return true
    await phone.reload()
    return false
  })
  assert.equal(await reason.inputValue(), REASON)
  await phone.getByText('Acepto esta visita por vídeo.').waitFor()
  await audit.visit(phone, 'questions and consent, in Spanish')
  await phone.getByRole('group', { name: '¿Tiene alguna alergia?' }).getByLabel('No').check()
  await phone.getByRole('button', { name: 'Listo' }).click()
  await phone.getByText('Gracias. La clínica tiene sus respuestas.').waitFor()
})

step('the clinician sees what is not as the last time', async () => {
  await clinic.goto(there(network.page('/clinic/demo')))
  await signIn(clinic, network.account('doctor'))
  await clinic.goto(there(network.page(visit)))
  const row = (/** @type {string} */ text) => clinic.locator('[data-mark]').filter({ hasText: text })
  await row('What brings you here?').getByText('changed', { exact: true }).waitFor()
  await row('What brings you here?').getByText('Before: A cough').waitFor()
  await row('Since when?').getByText('gone', { exact: true }).waitFor()
  await clinic.getByText('The patient has not consented yet: the call has to wait.').waitFor()
  await audit.visit(clinic, 'answers beside the visit')
})

step('one tap agrees and enters the waiting room; taken back, nobody joins', async () => {
  const page = await people.patient.page()
  await goToWaitingRoom(page, there(later))
  await page.getByText('You agreed on').waitFor()
  await page.getByRole('button', { name: 'Take my consent back' }).click()
  await audit.visit(page, 'take the consent back')
  await page.getByRole('button', { name: 'Take it back' }).click()
  await page.getByText('I agree to this visit by video.').waitFor()
  const joined = clinic.waitForResponse((response) => response.url().endsWith('/tokens/join'))
  await clinic.getByRole('button', { name: `Admit ${PATIENT.name}` }).click()
  assert.equal((await joined).status(), 409)
  await clinic.getByText('The patient took their consent back: the call has to wait.').waitFor()
  await clinic.getByRole('button', { name: 'Emergency' }).click()
  await clinic.getByLabel('Why it cannot wait').waitFor()
  await audit.visit(clinic, 'no consent')
})

step('a clinician attests what they heard, and the call begins', async () => {
  await clinic.getByRole('button', { name: 'Record verbal consent' }).click()
  await clinic.getByText('I agree to this visit by video.').waitFor()
  await audit.visit(clinic, 'verbal consent')
  await clinic.getByRole('button', { name: 'I read this out, and the patient agreed' }).click()
  await clinic.getByText('Given by word of mouth').waitFor()
  const [page] = people.patient.context.pages().slice(-1)
  assert.ok(page)
  await Promise.all([
    seesAndHears(page, 'the patient', LOOKS.clinic),
    seesAndHears(clinic, 'the clinician', LOOKS.patient),
  ])
})

test('no page has a serious accessibility violation, and all fit a phone', () => {
  assert.ok(audit.visited.length >= 8, `visited only ${audit.visited.join(', ')}`)
  assert.deepEqual([audit.accessibility, audit.layout], [[], []])
})

test('no page broke its content security policy or threw', () => {
  assert.deepEqual(
    Object.values(people).flatMap((person) => person.uncaught),
    [],
  )
})

/**
 * The same page, as a region has it whose host lives.
 *
 * @param {string} url
 */
function there(url) {
  const moved = new URL(url)
  moved.port = `${network.port('edge-us-east', 'http')}`
  return moved.href
}
