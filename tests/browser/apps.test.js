import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import * as client from 'openid-client'
import { Audit } from './audit.js'
import { Person } from './browser.js'
import { inOrder } from './inOrder.js'
import { localFetch } from './localFetch.js'
import { Network } from './network.js'
import { OtherLogin } from './otherLogin.js'
import { begin, discover, SomeApp } from './someApp.js'
import { dayAt, signIn, signOut } from './steps.js'

const ROOT = join(import.meta.dirname, '../..')
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target')
const AUTHLIB = process.env.LOCUM_AUTHLIB ?? join(TARGET, 'authlib/bin/python')
const SCOPES =
  'openid fhirUser profile offline_access launch launch/patient patient/Encounter.rs user/Appointment.s'

/** @typedef {import('playwright-core').Page} Page */

/** @type {Network} */
let network
/** @type {SomeApp} */
let app
/** @type {OtherLogin} */
let login
/** @type {Person} */
let administrator
/** @type {Person} */
let doctor
/** @type {Page} */
let office
/** @type {Page} */
let page
/** @type {client.Configuration} */
let config
const audit = new Audit()
/** What the app was given. */
const registered = { id: '', secret: '' }
const visit = { patient: '', appointment: '', day: '' }

before(async () => {
  app = await SomeApp.start()
  login = await OtherLogin.start()
  network = await Network.start(1, ['--identity-host', login.issuer, '--identity-host', app.origin])
  login.serve(network.page('/clinic/demo/external'))
  administrator = await Person.open('administrator')
  doctor = await Person.open('doctor')
  office = await administrator.page()
  page = await doctor.page()
})

after(async () => {
  await administrator?.close()
  await doctor?.close()
  await network?.remove()
  await app?.stop()
  await login?.stop()
})

const step = inOrder(() => [administrator, doctor])

step('an administrator takes an app in', async () => {
  await office.goto(network.page('/clinic/demo'))
  await signIn(office, network.account('clinic-admin'))
  await office.getByRole('link', { name: 'Apps' }).click()
  await office.getByText('The clinic knows no app yet.').waitFor()
  await audit.visit(office, 'no apps')
  await office.getByRole('button', { name: 'Add an app' }).click()
  await office.getByLabel('Name', { exact: true }).fill('Growth charts')
  await office.getByLabel('Addresses it may be answered at').fill('http://app.example/back')
  await office.getByLabel('Address to open it for a patient').fill(app.launch)
  await office.getByLabel('The most it may be granted').fill(SCOPES)
  await audit.visit(office, 'new app')
  await office.getByRole('button', { name: 'Add', exact: true }).click()
  await office.getByText('Please check where the app may be answered').waitFor()
  await office.getByLabel('Addresses it may be answered at').fill(app.back)
  await office.getByRole('button', { name: 'Add', exact: true }).click()
  await office.getByText('Growth charts can come now').waitFor()
  await audit.visit(office, 'app and secret')
  const shown = await office.locator('.notice .secret').allTextContents()
  registered.id = shown[0] ?? ''
  registered.secret = shown[1] ?? ''
  assert.match(registered.secret, /^[\w-]{43}$/)
})

step('its person chooses a patient and lets it in, with the keyboard alone', async () => {
  await page.goto(network.page('/clinic/demo'))
  await signIn(page, network.account('doctor'))
  visit.patient = await book()
  config = await discover(issuer(), registered.id, client.ClientSecretBasic(registered.secret))
  const { url, checks } = await begin(config, { redirect_uri: app.back, scope: standalone(), aud: fhir() })
  await page.goto(url)
  await page.getByRole('heading', { name: 'Let Growth charts in?' }).waitFor()
  await page.getByText('see visits of the patient you open it for').waitFor()
  await press('Let it in')
  await page.getByText('Please choose a patient first.').waitFor()
  await focus('Patient')
  await page.keyboard.type('paula')
  await page.keyboard.press('Enter')
  await page.getByRole('radio', { name: /^Paula Patient, born/ }).waitFor()
  await audit.visit(page, 'consent')
  await focus(/^Paula Patient/)
  await page.keyboard.press('Space')
  await press('Let it in')
  const tokens = await client.authorizationCodeGrant(config, await app.visited(), checks)
  assert.equal(tokens.patient, visit.patient)
  const claims = tokens.claims()
  assert.match(String(claims?.fhirUser), /\/fhir\/Practitioner\/[0-9a-f-]{36}$/)
  const userinfo = await client.fetchUserInfo(config, tokens.access_token, String(claims?.sub))
  assert.equal(userinfo.name, 'Dr. Mira Okafor')
  await goesOn(tokens)
})

/** @param {client.TokenEndpointResponse} first */
async function goesOn(first) {
  const list = new URL(`${api()}/scheduling/patients?name=paula`)
  const read = client.fetchProtectedResource(config, first.access_token, list, 'GET')
  await assert.rejects(read, { status: 403 })
  const renewed = await client.refreshTokenGrant(config, first.refresh_token ?? '')
  const told = await client.tokenIntrospection(config, renewed.access_token)
  assert.ok(told.active)
  await assert.rejects(client.refreshTokenGrant(config, first.refresh_token ?? ''), {
    error: 'invalid_grant',
  })
  await assert.rejects(client.refreshTokenGrant(config, renewed.refresh_token ?? ''), {
    error: 'invalid_grant',
  })
  const after = await client.tokenIntrospection(config, renewed.access_token)
  assert.deepEqual(after, { active: false })
}

step('a page of somebody else may use a token, and no cookie', async () => {
  await page.goto(network.page('/clinic/demo'))
  const elsewhere = await doctor.page()
  await elsewhere.goto(app.origin)
  const asked = await elsewhere.evaluate(async (api) => {
    const seen = await fetch(`${api}/auth/.well-known/smart-configuration`)
    const token = await fetch(`${api}/auth/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({ a: 'b' }),
    })
    const cookies = await fetch(`${api}/scheduling/appointments?date=2026-03-02`)
    const mine = await fetch(`${api}/auth/session`, { credentials: 'include' }).catch(() => null)
    return {
      seen: (await seen.json()).issuer,
      token: token.status,
      cookies: cookies.status,
      mine: mine?.status,
    }
  }, api())
  assert.deepEqual(asked, { seen: issuer(), token: 401, cookies: 401, mine: undefined })
  await elsewhere.close()
})

step('who says no sends the app away, and an unknown address gets nothing', async () => {
  const wish = { redirect_uri: app.back, scope: 'openid' }
  const { url, checks } = await begin(config, wish)
  await page.goto(url)
  await page.getByRole('button', { name: 'Do not' }).click()
  const back = await app.visited()
  await assert.rejects(client.authorizationCodeGrant(config, back, checks), { error: 'access_denied' })
  await page.waitForURL(`${app.back}?**`)
  const lost = await begin(config, { ...wish, redirect_uri: `${app.origin}/elsewhere` })
  await page.goto(lost.url)
  await page.getByText('The app wants its answer where it is not registered').waitFor()
  await audit.visit(page, 'refused request')
})

step('an app is opened for the patient of a visit', async () => {
  await page.goto(network.page(`/clinic/demo/day/${visit.day}/visit/${visit.appointment}`))
  const opened = page.context().waitForEvent('page')
  await page.getByRole('button', { name: 'Open Growth charts' }).click()
  const other = await opened
  const { searchParams } = await app.visited()
  assert.equal(searchParams.get('iss'), fhir())
  await audit.visit(page, 'visit with apps')
  const scope = 'openid launch patient/Encounter.rs'
  const wish = { redirect_uri: app.back, scope, aud: fhir(), launch: searchParams.get('launch') ?? '' }
  const { url, checks } = await begin(config, wish)
  await other.goto(url)
  await other.getByRole('button', { name: 'Let it in' }).click()
  const tokens = await client.authorizationCodeGrant(config, await app.visited(), checks)
  assert.equal(tokens.patient, visit.patient)
  const encounter = new URL(`${api()}/records/encounters/${tokens.encounter}`)
  const read = async () =>
    (await client.fetchProtectedResource(config, tokens.access_token, encounter, 'GET')).status
  assert.equal(await read(), 200)
  await other.close()

  await page.goto(network.page('/clinic/demo/security'))
  await page.getByRole('button', { name: 'Shut out Growth charts' }).first().waitFor()
  await audit.visit(page, 'account with apps')
  await page.getByRole('button', { name: 'Shut out Growth charts' }).first().click()
  await page.getByRole('heading', { name: 'Apps you have let in' }).waitFor({ state: 'detached' })
  assert.equal(await read().catch(() => 401), 401)
})

step('an app comes by itself, with keys that are at the app', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  app.keys = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig', alg: 'ES384' }] }
  const scopes = 'system/Encounter.rs system/Appointment.s'
  const wish = { name: 'Backend', kind: 'key', scopes, jwksUri: `${app.origin}/keys` }
  const { id } = await post(administrator, '/auth/oauth/clients', wish)
  const key = await crypto.subtle.importKey(
    'pkcs8',
    privateKey.export({ format: 'der', type: 'pkcs8' }),
    { name: 'ECDSA', namedCurve: 'P-384' },
    false,
    ['sign'],
  )
  const backend = await discover(issuer(), id, client.PrivateKeyJwt({ key, kid: 'k1' }))
  const tokens = await client.clientCredentialsGrant(backend, { scope: scopes })
  const list = new URL(`${api()}/scheduling/appointments?date=${visit.day}`)
  const listed = await client.fetchProtectedResource(backend, tokens.access_token, list, 'GET')
  assert.equal((await listed.json()).appointments.length, 1)
  app.keys = { keys: [] }
  await assert.rejects(client.clientCredentialsGrant(backend, { scope: scopes }), { status: 401 })
})

step('another library gets in as well, and everything else is refused', async () => {
  const [own, theirs] = [await cookies(doctor), await cookies(administrator)]
  const origin = network.page('')
  const said = JSON.stringify({
    api: api(),
    origin,
    doctor: own,
    administrator: theirs,
    patient: visit.patient,
  })
  const { stdout } = await promisify(execFile)(AUTHLIB, [join(ROOT, 'tests/apps/authlib_flow.py'), said])
  assert.ok(stdout.split('\n').filter((line) => line.startsWith('holds: ')).length > 50, stdout)
})

step('an administrator names somebody else who vouches for staff', async () => {
  await office.getByRole('button', { name: 'Add a sign-in' }).click()
  await office.getByLabel('Name', { exact: true }).fill('Hospital login')
  await office.getByLabel('Issuer').fill('http://127.0.0.1:1')
  await office.getByLabel('Client id').fill('locum')
  await office.getByLabel('Client secret').fill('a secret between the two')
  await office.getByLabel('What counts as a second step there').fill('mfa')
  await office.getByRole('button', { name: 'Add', exact: true }).click()
  await office.getByText('Nobody answers there as an OpenID provider').waitFor()
  await office.getByLabel('Issuer').fill(login.issuer)
  await audit.visit(office, 'new sign-in')
  await office.getByRole('button', { name: 'Add', exact: true }).click()
  await office.getByText(network.page('/clinic/demo/external')).waitFor()
  await audit.visit(office, 'apps and sign-ins')
})

step('a doctor connects an account there, and signs in by it', async () => {
  await page.goto(network.page('/clinic/demo/security'))
  await page.getByRole('button', { name: 'Connect Hospital login' }).click()
  await page.getByRole('button', { name: 'Disconnect Hospital login' }).waitFor()
  assert.equal(new URL(page.url()).search, '', 'the code left the address bar')
  await signOut(page)
  await page.getByRole('button', { name: 'Sign in with Hospital login' }).waitFor()
  await audit.visit(page, 'sign-in')
  // There it was a password only: what comes after a password comes here too.
  await page.getByRole('button', { name: 'Sign in with Hospital login' }).click()
  await page.getByRole('heading', { name: 'One more step' }).waitFor()
  await audit.visit(page, 'second step after another sign-in')
  login.amr = ['pwd', 'mfa']
  await page.context().clearCookies({ domain: '127.0.0.1' })
  await page.goto(network.page('/clinic/demo/security'))
  await page.getByRole('button', { name: 'Sign in with Hospital login' }).click()
  await page.getByRole('button', { name: 'Disconnect Hospital login' }).waitFor()
  await page.goto(network.page('/clinic/demo/external?code=x&state=y'))
  await page.getByText('That sign-in does not count').waitFor()
  await audit.visit(page, 'refused sign-in')
})

test('no page has a serious accessibility violation', () => {
  assert.ok(audit.visited.length >= 10, `visited only ${audit.visited.join(', ')}`)
  assert.deepEqual(audit.accessibility, [])
})

test('every page fits 360 pixels, with targets that a thumb can hit', () => {
  assert.deepEqual(audit.layout, [])
})

test('no page broke its content security policy or threw', () => {
  assert.deepEqual([...administrator.uncaught, ...doctor.uncaught], [])
})

const api = () => network.page('/c/demo')
const issuer = () => `${api()}/auth`
const fhir = () => `${api()}/fhir`
const standalone = () => SCOPES.replace('launch ', '')

/** Books the next free visit; answers the patient's id. */
async function book() {
  const clinic = await (await localFetch(`${api()}/scheduling/clinic`)).json()
  const day = dayAt(new Date().toISOString(), clinic.timeZone)
  const query = `service=${clinic.services[0].id}&from=${day}&days=7`
  const { slots } = await (await localFetch(`${api()}/scheduling/slots?${query}`)).json()
  const { practitioner, start } = slots[0]
  const wish = { service: clinic.services[0].id, practitioner: practitioner.id, start }
  visit.day = dayAt(start, clinic.timeZone)
  const hold = await post(null, '/scheduling/holds', wish)
  const patient = { name: 'Paula Patient', birthDate: '1980-01-31', email: 'paula@example.org' }
  const confirmation = { hold: hold.id, secret: hold.secret, method: 'pay-at-clinic', patient }
  visit.appointment = (await post(null, '/payments/confirmations', confirmation)).appointment.id
  const found = await localFetch(`${api()}/scheduling/patients?name=paula`, {
    headers: { cookie: await cookies(doctor) },
  })
  return (await found.json()).patients[0].id
}

/**
 * @param {Person | null} person
 * @param {string} path
 * @param {object} body
 */
async function post(person, path, body) {
  const headers = {
    'content-type': 'application/json',
    origin: network.page(''),
    cookie: person ? await cookies(person) : '',
  }
  const answer = await localFetch(api() + path, { method: 'POST', headers, body: JSON.stringify(body) })
  assert.equal(answer.status, 201, await answer.clone().text())
  return answer.json()
}

/** @param {Person} person */
async function cookies(person) {
  const kept = await person.context.cookies(`${api().replace('http:', 'https:')}/`)
  return kept.map(({ name, value }) => `${name}=${value}`).join('; ')
}

/**
 * Goes there as somebody does who has no mouse.
 *
 * @param {string | RegExp} name
 */
async function focus(name) {
  const wanted = page.getByRole('button', { name, exact: true }).or(page.getByLabel(name)).first()
  for (let presses = 0; presses < 60; presses += 1) {
    if (await wanted.evaluate((element) => element === document.activeElement)) return
    await page.keyboard.press('Tab')
  }
  assert.fail(`the keyboard does not reach ${name}`)
}

/** @param {string} name */
async function press(name) {
  await focus(name)
  await page.keyboard.press('Enter')
}
