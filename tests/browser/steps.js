import { authenticator } from './authenticator.js'

/** @typedef {import('playwright-core').Page} Page */

/**
 * Fills the short form and confirms.
 *
 * @param {Page} page
 * @param {{ name: string, email: string }} patient
 */
export async function giveDetails(page, { name, email }) {
  await page.getByLabel('Full name').fill(name)
  await page.getByLabel('Day', { exact: true }).fill('14')
  await page.getByLabel('Month').fill('3')
  await page.getByLabel('Year').fill('1956')
  await page.getByLabel('E-mail').fill(email)
  await page.getByRole('button', { name: 'Confirm and pay at the clinic' }).click()
  await page.getByRole('heading', { name: 'Your visit is booked' }).waitFor()
}

/**
 * Takes the first free time; answers its start.
 *
 * @param {Page} page
 */
export async function takeFirstTime(page) {
  const held = page.waitForResponse(
    (response) => response.url().endsWith('/scheduling/holds') && response.status() === 201,
  )
  await page.locator('button.time').first().click()
  const { start } = await (await held).json()
  await page.getByRole('heading', { name: 'Who is coming?' }).waitFor()
  return String(start)
}

/**
 * Signs in, with a passkey of the browser's own virtual authenticator: the first time it is made, and kept here.
 *
 * @param {Page} page
 * @param {{ username: string, password: string }} account
 */
export async function signIn(page, { username, password }) {
  await page.getByLabel('User name').fill(username)
  await page.getByLabel('Password').fill(password)
  await page.getByRole('button', { name: 'Sign in' }).click()
  const next = page.getByRole('heading', { name: /^(One more step|Protect your account)$/ })
  await next.waitFor()
  const passkeys = await authenticator(page)
  if ((await next.textContent()) === 'One more step') {
    await passkeys.take(password)
    await page.getByRole('button', { name: 'Use your passkey' }).click()
  } else {
    await page.getByRole('button', { name: 'Add a passkey' }).click()
    await page.getByRole('button', { name: 'I have kept them' }).click()
    await passkeys.keep(password)
  }
  await page.getByRole('heading', { name: 'Visits' }).waitFor()
}

/** @param {Page} page */
export async function signOut(page) {
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByRole('heading', { name: 'Staff sign-in' }).waitFor()
}

/**
 * The day of an instant as the clinic's calendar has it.
 *
 * @param {string} instant
 * @param {string} zone
 */
export function dayAt(instant, zone) {
  return new Intl.DateTimeFormat('en-CA', { timeZone: zone }).format(new Date(instant))
}

/**
 * @param {Page} page
 * @param {string} question
 * @param {'Yes' | 'No'} answer
 */
export function yesOrNo(page, question, answer) {
  return page.getByRole('group', { name: question }).getByLabel(answer).check()
}

/**
 * From the invitation to the waiting room: the last tap agrees to what the clinic asks for.
 *
 * @param {Page} page
 * @param {string} invitation
 */
export async function goToWaitingRoom(page, invitation) {
  await page.goto(invitation)
  await page.getByRole('button', { name: 'Turn on camera and microphone' }).click()
  await page.getByText('We can hear you.').waitFor()
  await page.getByText('I agree to this visit by video.').waitFor()
  await page.getByRole('button', { name: 'I agree: go to the waiting room' }).click()
  await page.getByText('You are next').waitFor()
}

/**
 * The link that was sent to a patient, as the front desk sees it.
 *
 * @param {Page} page
 * @param {string} email
 */
export async function findInvitation(page, email) {
  await page.getByRole('link', { name: 'Demo outbox' }).click()
  const message = page.getByRole('listitem').filter({ hasText: email })
  return (await message.getByRole('link').getAttribute('href')) ?? ''
}
