import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { LOOKS } from './camera.js'
import { inOrder } from './inOrder.js'
import { seesAll } from './media.js'
import { Network } from './network.js'
import { dayAt, findInvitation, giveDetails, goToWaitingRoom, signIn, signOut } from './steps.js'

/** @typedef {import('playwright-core').Page} Page */

// A service becomes one for two patients; both are in one call with the clinician, and learn nothing of each other.

const FIRST = { name: 'Gita Grouped', email: 'gita@patients.example' }
const SECOND = { name: 'Otto Otherwise', email: 'otto@patients.example' }
const WRONG =
  '{"resourceType": "Questionnaire", "status": "active", "item": [{"linkId": "a", "type": "tick"}]}'

const audit = new Audit()
/** @type {Network} */
let network
/** @type {Record<'clinic' | 'first' | 'second', Person>} */
let people
/** @type {Record<'clinic' | 'first' | 'second', Page>} */
let pages
/** What the group is for, and when it meets. */
let [serviceName, start] = ['', '']

before(async () => {
  network = await Network.start()
  people = {
    clinic: await Person.open('clinic', {}, LOOKS.clinic),
    first: await Person.open('first', {}, LOOKS.patient),
    second: await Person.open('second', {}, LOOKS.guest),
  }
  pages = {
    clinic: await people.clinic.page(),
    first: await people.first.page(),
    second: await people.second.page(),
  }
})

after(async () => {
  await Promise.allSettled(Object.values(people ?? {}).map((person) => person.close()))
  await network?.remove()
})

const step = inOrder(() => Object.values(people ?? {}))

/** @param {Page} page */
async function plan(page) {
  await page.getByRole('button', { name: 'See what would change' }).click()
}

step('an administrator makes a service one for two, and adds a site with a room', async () => {
  const page = pages.clinic
  await page.goto(network.page('/clinic/demo'))
  await signIn(page, network.account('clinic-admin'))
  await page.getByRole('link', { name: 'Set-up' }).click()
  const service = page.getByRole('region', { name: 'Services' }).locator('fieldset').first()
  serviceName = await service.getByLabel('Name', { exact: true }).inputValue()
  await service.getByLabel('Patients at once').fill('99')
  await plan(page)
  await service.getByText('must be 1 to 12').waitFor()
  await service.getByLabel('Patients at once').fill('2')
  const sites = page.getByRole('region', { name: 'Sites', exact: true })
  await sites.getByRole('button', { name: 'Add' }).click()
  const site = sites.locator('> fieldset').first()
  await site.getByLabel('Short name for files').first().fill('main')
  await site.getByLabel('Name', { exact: true }).fill('<b>Main & house</b> 🏥')
  await site.getByLabel('Address').fill("1, Rue de l'Été; DROP TABLE site; --")
  await site.getByLabel('Time zone').fill('Europe/Berlin')
  const rooms = site.getByRole('region', { name: /^Rooms of/ })
  await rooms.getByRole('button', { name: 'Add' }).click()
  await rooms.getByLabel('Short name for files').fill('one')
  await rooms.getByLabel('Name', { exact: true }).fill('Booth 1')
})

step(
  'a questionnaire that cannot be is told where it is wrong, and a right one is shown as patients see it',
  async () => {
    const page = pages.clinic
    const list = page.getByRole('region', { name: 'Questionnaires' })
    await list.getByRole('button', { name: 'Add' }).click()
    const row = list.locator('fieldset').last()
    await row.getByLabel('Short name for files').fill('before-group')
    await row.getByLabel('Service (its short name)').fill('no-such-service')
    await plan(page)
    await row.getByText('must be the key of a service').waitFor()
    const key = page.getByRole('region', { name: 'Services' }).getByLabel('Short name for files').first()
    await row.getByLabel('Service (its short name)').fill(await key.inputValue())
    const text = row.getByLabel('FHIR R4 Questionnaire')
    await text.fill('{')
    await plan(page)
    await page.getByText('Something is not right yet').waitFor()
    await text.fill(WRONG)
    await plan(page)
    await row.getByText('/item/0/type').waitFor()
    await audit.visit(page, 'set-up-questionnaire')
    assert.equal(await row.getByRole('button', { name: 'Preview' }).isDisabled(), true)
    await text.fill(WRONG.replace('"tick"', '"string", "text": "Whom do you <i>know</i> here?"'))
    await plan(page)
    await row.getByRole('button', { name: 'Preview' }).click()
    await row.getByLabel('Whom do you <i>know</i> here?').fill('Nobody')
    await audit.visit(page, 'set-up-preview')
    await page.getByRole('button', { name: 'Change it' }).click()
    await page.getByRole('region', { name: 'This would change' }).waitFor({ state: 'detached' })
    await page.reload()
    await page.getByLabel('Name', { exact: true }).first().waitFor()
    const site = page.getByRole('region', { name: 'Sites', exact: true })
    assert.equal(await site.getByLabel('Address').inputValue(), "1, Rue de l'Été; DROP TABLE site; --")
  },
)

step('two patients take the same time, one of them with an interpreter', async () => {
  start = await book(pages.first, FIRST)
  await choose(pages.second)
  await pages.second.getByText('for up to 2 people at once').first().waitFor()
  const again = await takeLast(pages.second)
  assert.equal(again, start, 'the time has a second place')
  await pages.second.getByLabel('Do you need an interpreter?').selectOption('es')
  await audit.visit(pages.second, 'details-with-interpreter')
  await giveDetails(pages.second, SECOND)
})

step('the front desk sees both places, and who needs an interpreter until one is invited', async () => {
  const page = pages.clinic
  await signOut(page)
  await signIn(page, network.account('front-desk'))
  await page.goto(network.page(`/clinic/demo/day/${dayAt(start, 'Europe/Berlin')}`))
  const visits = page.getByRole('region', { name: 'Visits' })
  await visits.getByText('place 1 of 2').waitFor()
  await visits.getByText('place 2 of 2').waitFor()
  await visits.getByText('Interpreter needed: Spanish').waitFor()
  await page.getByLabel('Only visits with an interpreter').check()
  await visits.getByText('place 1 of 2').waitFor({ state: 'detached' })
  const work = page.getByRole('region', { name: 'No interpreter invited yet' })
  await work.getByText('Spanish').waitFor()
  await audit.visit(page, 'board-with-group')
  await work.getByRole('button', { name: `Invite an interpreter for ${SECOND.name}` }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Interpreter' }).click()
  await dialog.getByLabel('Link').waitFor()
  await dialog.getByRole('button', { name: 'Done' }).click()
  await work.waitFor({ state: 'detached' })
  await visits.getByText('Interpreter: Spanish').waitFor()
})

step('both are in one call with the clinician, and see nobody’s name', async () => {
  const { clinic, first, second } = pages
  const links = [await findInvitation(clinic, FIRST.email), await findInvitation(clinic, SECOND.email)]
  await signOut(clinic)
  await signIn(clinic, network.account('doctor'))
  const board = network.page(`/clinic/demo/day/${dayAt(start, 'Europe/Berlin')}`)
  await goToWaitingRoom(first, links[0] ?? '')
  await clinic.goto(board)
  await clinic.getByRole('button', { name: `Admit ${FIRST.name}` }).click()
  await seesAll(first, [LOOKS.clinic])
  await goToWaitingRoom(second, links[1] ?? '')
  await clinic.goto(board)
  await clinic.getByRole('button', { name: `Admit ${SECOND.name}` }).click()
  await Promise.all([
    seesAll(first, [LOOKS.clinic, LOOKS.guest]),
    seesAll(second, [LOOKS.clinic, LOOKS.patient]),
    seesAll(clinic, [LOOKS.patient, LOOKS.guest]),
  ])
  for (const { name } of [FIRST, SECOND]) await clinic.locator('figcaption', { hasText: name }).waitFor()
  for (const [page, other] of /** @type {const} */ ([
    [first, SECOND],
    [second, FIRST],
  ])) {
    await page.locator('figcaption', { hasText: 'Another participant' }).waitFor()
    assert.equal((await page.content()).includes(other.name), false, 'a patient is told the other’s name')
  }
  await audit.visit(first, 'call-of-a-group')
})

test('no page of it has a serious accessibility violation, and every page fits', () => {
  assert.deepEqual([audit.accessibility, audit.layout], [[], []])
  assert.deepEqual(
    Object.values(people).flatMap((person) => person.uncaught),
    [],
  )
})

/**
 * @param {Page} page
 * @param {{ name: string, email: string }} patient
 */
async function book(page, patient) {
  await choose(page)
  const begins = await takeLast(page)
  await giveDetails(page, patient)
  return begins
}

/** @param {Page} page */
async function choose(page) {
  await page.goto(network.page('/c/demo'))
  await page.getByRole('radio', { name: serviceName }).check()
  await page.getByLabel('Dr. Mira Okafor').check()
}

/**
 * Takes the last time of the day after tomorrow: it does not pass meanwhile.
 *
 * @param {Page} page
 */
async function takeLast(page) {
  const held = page.waitForResponse(
    (response) => response.url().endsWith('/scheduling/holds') && response.status() === 201,
  )
  await page.locator('label.day').nth(2).click()
  await page.locator('button.time').last().click()
  const hold = await (await held).json()
  await page.getByRole('heading', { name: 'Who is coming?' }).waitFor()
  return String(hold.start)
}
