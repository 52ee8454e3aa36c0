import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { Network } from './network.js'
import { giveDetails, takeFirstTime } from './steps.js'

/** @type {Network} */
let network
/** @type {Person} */
let patient

before(async () => {
  network = await Network.start()
  patient = await Person.open('booking')
})

after(async () => {
  await patient?.close()
  await network?.remove()
})

afterEach(async (context) => {
  if (!('passed' in context && context.passed)) await patient.keepEvidence(context.name)
})

test('a visit can be booked with the keyboard alone', async () => {
  const page = await patient.page()
  await page.goto(network.page('/c/demo'))
  await page.locator('button.time').first().waitFor()

  await page.keyboard.press('Tab')
  assert.equal(await focused(page), 'Skip to the content', 'the first stop leads past the top bar')
  await page.keyboard.press('Enter')
  await tabTo(page, 'input[name=service]')
  await page.keyboard.press('ArrowDown')
  await tabTo(page, 'input[name=day]')
  await page.locator('button.time').first().waitFor()
  await tabTo(page, 'button.time')
  await page.keyboard.press('Enter')

  await page.getByRole('heading', { name: 'Who is coming?' }).waitFor()
  assert.equal(await focused(page), 'Who is coming?', 'focus follows to the next step')
  await tabTo(page, 'input[autocomplete=name]')
  await page.keyboard.press('Enter')
  await page.getByText('Please enter your name.').waitFor()
  assert.ok(await page.evaluate(() => document.activeElement?.matches('[aria-invalid=true]')))

  await page.keyboard.type('Key Board')
  await page.keyboard.press('Tab')
  for (const part of ['01', '02', '1970', 'key@patients.example']) {
    await page.keyboard.type(part)
    await page.keyboard.press('Tab')
  }
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Your visit is booked' }).waitFor()
})

test('a time that somebody else has just taken: others are offered at once', async () => {
  const slow = await patient.page()
  const fast = await patient.page()
  // With whoever is free, somebody else would be.
  for (const page of [slow, fast]) {
    await page.goto(network.page('/c/demo'))
    const hers = page.waitForResponse((response) => response.url().includes('practitioner='))
    await page.getByLabel('Dr. Mira Okafor').check()
    await hers
    await page.locator('button.time').first().waitFor()
  }
  await takeFirstTime(fast)
  await fast.getByText(/^Kept for you: \d+:\d\d$/).waitFor()

  // A page behind another is drawn once a second.
  await slow.bringToFront()
  await slow.locator('button.time').first().click()
  await slow.getByText('Somebody was faster').waitFor()
  await slow.locator('.notice').getByRole('button').first().click()
  await giveDetails(slow, { name: 'Second Choice', email: 'second@patients.example' })
})

test('who lost the link asks for it, and is told nothing about whom the clinic knows', async () => {
  const audit = new Audit()
  const page = await patient.page()
  await page.goto(network.page('/c/demo/visit'))
  await page.getByLabel('E-mail').fill('no address')
  await page.getByRole('button', { name: 'Send me the link' }).click()
  await page.getByLabel('E-mail').and(page.locator('[aria-invalid=true]')).waitFor()
  await audit.visit(page, 'lost link')
  for (const email of ['nobody@patients.example', 'key@patients.example']) {
    await page.reload()
    await page.getByLabel('E-mail').fill(email)
    await page.getByRole('button', { name: 'Send me the link' }).click()
    await page.getByText('If a visit is booked with this address, the link is on its way.').waitFor()
  }
  assert.deepEqual([...audit.accessibility, ...audit.layout], [])
})

test('what is focused can be seen', async () => {
  const page = await patient.page()
  await page.goto(network.page('/c/demo'))
  await page.locator('button.time').first().waitFor()
  await tabTo(page, 'button.time')
  const outline = await page.evaluate(() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement ?? document.body)
    return `${outlineStyle} ${outlineWidth}`
  })
  assert.equal(outline, 'solid 3px')
})

/**
 * Presses Tab until an element that matches has the focus.
 *
 * @param {import('playwright-core').Page} page
 * @param {string} selector
 */
async function tabTo(page, selector) {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab')
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) return
  }
  assert.fail(`60 presses of Tab did not lead to ${selector}`)
}

/** @param {import('playwright-core').Page} page */
function focused(page) {
  return page.evaluate(() => document.activeElement?.textContent?.trim())
}
