import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { LOOKS } from './camera.js'
import { isSharp, seesAndHears } from './media.js'
import { Network } from './network.js'
import { dayAt, findInvitation, giveDetails, signIn, signOut, takeFirstTime } from './steps.js'

// One consult, told in the order in which it happens: each step goes on where the one before ended.

const PATIENT = { name: 'Ines Example', email: 'ines@patients.example' }
const NOTE = 'Cough for three days, no fever. Rest, fluids; back in a week if it stays.'

/** A picture of it stands in the README. */
const TAKE_PICTURES = process.env.SCREENSHOTS === '1'

const audit = new Audit()
/** @type {Network} */
let network
/** @type {Person} */
let patient
/** @type {Person} */
let clinic
/** @type {import('playwright-core').Page} */
let patientPage
/** @type {import('playwright-core').Page} */
let clinicPage
let invitation = ''
let day = ''

before(async () => {
  network = await Network.start()
  // Another zone than the demo clinic's: the pages have to say so.
  patient = await Person.open('patient', { timezoneId: 'America/New_York' }, LOOKS.patient)
  clinic = await Person.open('clinic', { timezoneId: 'Europe/Berlin' }, LOOKS.clinic)
  patientPage = await patient.page()
  clinicPage = await clinic.page()
})

after(async () => {
  await Promise.allSettled([patient?.close(), clinic?.close()])
  await network?.remove()
})

let broken = false

/**
 * A part of the story: once one has failed, the rest has nothing to stand on.
 *
 * @param {string} name
 * @param {() => Promise<void>} part
 */
function step(name, part) {
  test(name, async (context) => {
    if (broken) return context.skip('an earlier step failed')
    try {
      await part()
    } catch (error) {
      broken = true
      await Promise.all([patient.keepEvidence(name), clinic.keepEvidence(name)])
      throw error
    }
  })
}

step('a patient books a free time, in their own time zone', async () => {
  await patientPage.goto(network.page('/'))
  await audit.visit(patientPage, 'welcome')
  await patientPage.getByRole('link', { name: 'Book a visit' }).click()
  await patientPage.locator('button.time').first().waitFor()
  await patientPage.getByText('Times are in your time zone, Eastern Time').waitFor()
  await audit.visit(patientPage, 'booking')
  const start = await takeFirstTime(patientPage)
  await audit.visit(patientPage, 'details')
  await giveDetails(patientPage, PATIENT)
  await audit.visit(patientPage, 'booked')
  day = dayAt(start, 'Europe/Berlin')
})

step('the invitation is in the demo outbox, for the front desk', async () => {
  await clinicPage.goto(network.page('/clinic/demo'))
  await audit.visit(clinicPage, 'sign-in')
  await signIn(clinicPage, network.account('front-desk'))
  invitation = await findInvitation(clinicPage, PATIENT.email)
  await audit.visit(clinicPage, 'outbox')
  assert.match(invitation, /\/c\/demo\/visit#[\w-]{20,}$/)
  await signOut(clinicPage)
})

step('the link opens the visit, and its secret leaves the address bar', async () => {
  await patientPage.goto(invitation)
  await patientPage.getByRole('heading', { name: 'Can you be seen and heard?' }).waitFor()
  assert.equal(new URL(patientPage.url()).hash, '')
  await audit.visit(patientPage, 'visit')
  await patientPage.reload()
  await patientPage.getByRole('heading', { name: 'Can you be seen and heard?' }).waitFor()
})

step('who refuses camera and microphone is told how to allow them', async () => {
  const refuser = await Person.open('refuser', { viewport: { width: 360, height: 740 } }, 'refuses')
  try {
    const page = await refuser.page()
    await page.goto(invitation)
    await page.getByRole('button', { name: 'Turn on camera and microphone' }).click()
    await page.getByText('The browser may not use camera and microphone.').waitFor()
    await page.getByRole('button', { name: 'Try again' }).waitFor()
    await audit.visit(page, 'refused devices')
  } catch (error) {
    await refuser.keepEvidence('refused devices')
    throw error
  } finally {
    await refuser.close()
  }
})

step('two taps: device check, waiting room', async () => {
  await patientPage.getByRole('button', { name: 'Turn on camera and microphone' }).click()
  await patientPage.getByText('We can hear you.').waitFor()
  await audit.visit(patientPage, 'device check')
  await patientPage.getByRole('button', { name: 'Go to the waiting room' }).click()
  await patientPage.getByText('You are next').waitFor()
  await audit.visit(patientPage, 'waiting room')
})

step('the clinician sees who waits and admits; the call starts by itself for the patient', async () => {
  await signIn(clinicPage, network.account('doctor'))
  await clinicPage.goto(network.page(`/clinic/demo/day/${day}`))
  await clinicPage.getByRole('button', { name: `Admit ${PATIENT.name}` }).waitFor()
  await audit.visit(clinicPage, 'day')
  await clinicPage.getByRole('button', { name: `Admit ${PATIENT.name}` }).click()
  await clinicPage.getByRole('heading', { name: PATIENT.name }).waitFor()
  await patientPage.getByRole('region', { name: 'Pictures of the call' }).waitFor()
})

step('both see moving pictures of each other and hear each other', async () => {
  const [patientReceives, clinicReceives] = await Promise.all([
    seesAndHears(patientPage, 'the patient', LOOKS.clinic),
    seesAndHears(clinicPage, 'the clinician', LOOKS.patient),
  ])
  assert.ok(patientReceives.framesDecoded > 0 && clinicReceives.framesDecoded > 0)
  await audit.visit(patientPage, 'call of the patient')
  await audit.visit(clinicPage, 'call of the clinician')
})

let digits = ''

step('the lock closes for both, and both see the same sixty digits', async () => {
  const [patients, clinics] = await Promise.all([safetyCode(patientPage), safetyCode(clinicPage)])
  assert.match(patients, /^(\d{5} ){11}\d{5}$/)
  assert.equal(patients, clinics)
  digits = patients
})

step('what is written and sent beside the call arrives, on both sides', async () => {
  await patientPage.getByRole('button', { name: 'Chat', exact: true }).click()
  await patientPage.getByRole('textbox', { name: 'Message' }).fill('My pharmacy is at the lake')
  await patientPage.getByRole('button', { name: 'Send', exact: true }).click()
  await clinicPage.getByRole('button', { name: 'Chat (1 new)' }).click()
  await clinicPage.getByText('My pharmacy is at the lake').waitFor()
  const content = Buffer.from('Two a day, after meals. '.repeat(2_000))
  const file = { name: 'plan.txt', mimeType: 'text/plain', buffer: content }
  await clinicPage.getByLabel('Send a file').setInputFiles(file)
  const saved = patientPage.waitForEvent('download')
  await patientPage.getByRole('link', { name: 'Save plan.txt' }).click()
  const path = await (await saved).path()
  assert.deepEqual(readFileSync(path), content)
  await audit.visit(patientPage, 'chat of the patient')
  await audit.visit(clinicPage, 'chat of the clinician')
  for (const page of [patientPage, clinicPage]) {
    await page.getByRole('button', { name: 'Chat', exact: true }).click()
  }
})

step('muting and stopping the camera show on the other side', async () => {
  await patientPage.getByRole('button', { name: 'Mute', exact: true }).click()
  await clinicPage.getByText('muted').waitFor()
  await patientPage.getByRole('button', { name: 'Unmute' }).click()
  await clinicPage.getByText('muted').waitFor({ state: 'detached' })
  await patientPage.getByRole('button', { name: 'Stop camera' }).click()
  await clinicPage.getByText(`${PATIENT.name} has no camera on.`).waitFor()
  await patientPage.getByRole('button', { name: 'Start camera' }).click()
  await seesAndHears(clinicPage, 'the clinician, after the camera came back,', LOOKS.patient)
})

step('a reload in the middle of the call leads back into it', async () => {
  await patientPage.reload()
  await patientPage.locator('.remote-video').waitFor()
  const sound = patientPage.getByRole('button', { name: 'Turn the sound on' })
  if (await sound.isVisible()) await sound.click()
  await seesAndHears(patientPage, 'the patient, after a reload,', LOOKS.clinic)
  assert.equal(await safetyCode(patientPage), digits, 'a reload changed the keys')
  await seesAndHears(clinicPage, 'the clinician, after the patient reloaded,', LOOKS.patient)
  assert.equal(await safetyCode(clinicPage), digits, 'a reload changed the keys')
})

step('a media node that stands still is told on both sides, and the call goes on with it', async () => {
  network.signal('media-1', 'SIGSTOP')
  try {
    const told = /^The connection was lost/
    await Promise.all([patientPage.getByText(told).waitFor(), clinicPage.getByText(told).waitFor()])
  } finally {
    network.signal('media-1', 'SIGCONT')
  }
  await Promise.all([
    seesAndHears(patientPage, 'the patient, after the pause,', LOOKS.clinic),
    seesAndHears(clinicPage, 'the clinician, after the pause,', LOOKS.patient),
  ])
})

step('the note saves itself', async () => {
  await clinicPage.getByRole('textbox', { name: 'Note' }).fill(NOTE)
  await clinicPage.getByText(/^Saved at/).waitFor()
  if (TAKE_PICTURES) await isSharp(clinicPage)
  await audit.visit(clinicPage, 'call and note')
})

step('ending the visit ends it for both, and the link says so', async () => {
  await clinicPage.getByRole('button', { name: 'End visit' }).click()
  await clinicPage.getByRole('dialog').getByRole('button', { name: 'End visit' }).click()
  await clinicPage.getByRole('heading', { name: 'Visits' }).waitFor()
  await patientPage.getByRole('heading', { name: 'Your visit is over' }).waitFor()
  await audit.visit(patientPage, 'over')

  const again = await patient.page()
  await again.goto(invitation)
  await again.getByRole('heading', { name: 'Your visit is over' }).waitFor()
  await again.goto(network.page('/c/demo/visit#AAAAAAAAAAAAAAAAAAAAAA'))
  await again.getByRole('heading', { name: 'This link does not lead to a visit' }).waitFor()
  await audit.visit(again, 'unknown link')
  await again.close()
})

step('after a restart of the network the note is there', async () => {
  await network.stop()
  await network.start()
  // Another port is another origin: the sign-in starts anew where the cookie does not say otherwise.
  await clinic.context.clearCookies()
  await clinicPage.goto(network.page(`/clinic/demo/day/${day}`))
  await signIn(clinicPage, network.account('doctor'))
  await clinicPage.getByRole('link', { name: `Note about ${PATIENT.name}` }).click()
  const note = clinicPage.getByRole('textbox', { name: 'Note' })
  await clinicPage.getByText(/^Saved at/).waitFor()
  assert.equal(await note.inputValue(), NOTE)
  await audit.visit(clinicPage, 'note afterwards')
})

step('what was typed just before signing out is saved', async () => {
  const longer = `${NOTE} And one thing more.`
  const open = async () => {
    await clinicPage.getByRole('link', { name: `Note about ${PATIENT.name}` }).click()
    await clinicPage.getByText(/^Saved at/).waitFor()
    return clinicPage.getByRole('textbox', { name: 'Note' })
  }
  await clinicPage.getByRole('textbox', { name: 'Note' }).fill(longer)
  await signOut(clinicPage)
  await clinicPage.goto(network.page(`/clinic/demo/day/${day}`))
  await signIn(clinicPage, network.account('doctor'))
  assert.equal(await (await open()).inputValue(), longer)
})

test('no page has a serious accessibility violation', () => {
  assert.ok(audit.visited.length >= 14, `visited only ${audit.visited.join(', ')}`)
  assert.deepEqual(audit.accessibility, [])
})

test('every page fits 360 pixels, with targets that a thumb can hit', () => {
  assert.deepEqual(audit.layout, [])
})

test('no page broke its content security policy or threw', () => {
  assert.deepEqual([...patient.uncaught, ...clinic.uncaught], [])
})

/**
 * The digits behind the closed lock.
 *
 * @param {import('playwright-core').Page} page
 */
async function safetyCode(page) {
  await page.getByRole('button', { name: 'Encrypted end to end' }).click()
  const dialog = page.getByRole('dialog', { name: 'Safety code' })
  const text = (await dialog.locator('.safety-code').textContent()) ?? ''
  await dialog.getByRole('button', { name: 'Close' }).click()
  return text.trim()
}
