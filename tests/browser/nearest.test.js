import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Person } from './browser.js'
import { LOOKS } from './camera.js'
import { seesAndHears } from './media.js'
import { Network } from './network.js'
import { Relay } from './relay.js'
import {
  dayAt,
  findInvitation,
  giveDetails,
  goToWaitingRoom,
  signIn,
  signOut,
  takeFirstTime,
} from './steps.js'

// Two regions; for the clinician the node of their own region is far away.

const PATIENT = { name: 'Fern Far', email: 'fern@patients.example' }
const FAR_MS = 100

/** @type {Network} */
let network
/** @type {Relay} */
let relay
/** @type {Person} */
let patient
/** @type {Person} */
let clinic

before(async () => {
  network = await Network.start(2)
  const port = network.port('media-us-west', 'signal')
  relay = await Relay.before(port, FAR_MS)
  patient = await Person.open('patient', {}, LOOKS.patient)
  const rule = `MAP media.us-west.locum.localhost:${port} 127.0.0.1:${relay.port}`
  clinic = await Person.open('clinic', {}, LOOKS.clinic, [`--host-resolver-rules=${rule}`])
})

after(async () => {
  await Promise.allSettled([patient?.close(), clinic?.close()])
  relay?.close()
  await network?.remove()
})

test('each takes the node that is nearest to them, and they meet', async (context) => {
  const [patientPage, clinicPage] = [await patient.page(), await clinic.page()]
  const [patientNodes, clinicNodes] = [nodesOf(patientPage), nodesOf(clinicPage)]
  try {
    await patientPage.goto(network.page('/c/demo'))
    const start = await takeFirstTime(patientPage)
    await giveDetails(patientPage, PATIENT)
    await clinicPage.goto(network.page('/clinic/demo'))
    await signIn(clinicPage, network.account('front-desk'))
    const invitation = await findInvitation(clinicPage, PATIENT.email)
    await signOut(clinicPage)
    await goToWaitingRoom(patientPage, invitation)

    await signIn(clinicPage, network.account('doctor'))
    const day = dayAt(start, 'Europe/Berlin')
    await clinicPage.goto(network.page(`/clinic/demo/day/${day}`))
    const ranked = clinicPage.waitForResponse((response) => response.url().endsWith('/tokens/join'))
    // The patient's page asks every two seconds whether to come in, and could be the first.
    const clinicIsIn = clinicPage.waitForEvent('websocket')
    await patientPage.route('**/scheduling/visit', async (route) => {
      await clinicIsIn
      await route.continue()
    })
    await clinicPage.getByRole('button', { name: `Admit ${PATIENT.name}` }).click()
    const { nodes } = await (await ranked).json()
    assert.equal(nodes[0].id, 'media-us-west', 'the region’s own node is ranked first')

    await clinicIsIn
    await Promise.all([
      seesAndHears(patientPage, 'the patient', LOOKS.clinic),
      seesAndHears(clinicPage, 'the clinician', LOOKS.patient),
    ])
    assert.deepEqual(clinicNodes, ['media.us-east.locum.localhost'])
    assert.deepEqual(patientNodes, ['media.us-west.locum.localhost'])
    assert.deepEqual([...patient.uncaught, ...clinic.uncaught], [])
  } catch (error) {
    await Promise.all([patient.keepEvidence(context.name), clinic.keepEvidence(context.name)])
    throw error
  }
})

/**
 * Hosts of the WebSockets that a page opens.
 *
 * @param {import('playwright-core').Page} page
 */
function nodesOf(page) {
  /** @type {string[]} */
  const hosts = []
  page.on('websocket', (socket) => hosts.push(new URL(socket.url()).hostname))
  return hosts
}
