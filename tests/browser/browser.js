import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { LOOKS, writeCamera } from './camera.js'
import { RESULTS } from './network.js'

const DEADLINE_MS = 15_000

/** @typedef {import('playwright-core').Page} Page */

/** One person's browser: a profile of its own in a process of its own, with a camera and a microphone that are simulated. */
export class Person {
  /** @type {string[]} */
  #said = []

  /**
   * @param {string} name
   * @param {import('playwright-core').BrowserContext} context
   * @param {string} profile
   */
  constructor(name, context, profile) {
    this.name = name
    this.context = context
    this.profile = profile
  }

  /**
   * @param {string} name
   * @param {import('playwright-core').BrowserContextOptions} [options]
   * @param {import('./camera.js').Look | 'refuses'} [camera] who sits before it, or that it may not be used
   * @param {string[]} [more] further arguments of the browser
   */
  static async open(name, options = {}, camera = LOOKS.patient, more = []) {
    const profile = await mkdtemp(join(tmpdir(), 'locum-profile-'))
    const args = ['--no-sandbox', '--use-fake-device-for-media-stream', ...more]
    if (camera !== 'refuses') {
      const film = join(profile, 'camera.y4m')
      writeCamera(film, camera)
      // Without the first, a browser without a screen refuses for its person.
      args.push('--use-fake-ui-for-media-stream', `--use-file-for-fake-video-capture=${film}`)
    }
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      viewport: { width: 1280, height: 860 },
      locale: 'en-GB',
      permissions: camera === 'refuses' ? [] : ['camera', 'microphone'],
      args,
      ...options,
    })
    context.setDefaultTimeout(DEADLINE_MS)
    await context.addInitScript(rememberPeerConnections)
    await context.addInitScript(rememberKeys)
    return new Person(name, context, profile)
  }

  async page() {
    const page = await this.context.newPage()
    page.on('console', (message) => this.#note(message.type(), message.text()))
    page.on('pageerror', (error) => this.#note('uncaught', error.stack ?? error.message))
    return page
  }

  /**
   * @param {string} kind
   * @param {string} text
   */
  #note(kind, text) {
    // Join tokens and invitations stand behind these.
    this.#said.push(`${kind}: ${text.replaceAll(/(access_token=|visit#)[^\s&]+/g, '$1…').slice(0, 500)}`)
  }

  /** What went wrong in this person's pages without any test having asked. */
  get uncaught() {
    return this.#said.filter(
      (line) => line.startsWith('uncaught') || line.includes('Content Security Policy'),
    )
  }

  /**
   * Keeps pictures and console of a failed test.
   *
   * @param {string} test
   */
  async keepEvidence(test) {
    const folder = join(RESULTS, test.replace(/[^a-z0-9]+/gi, '-'))
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `${this.name}.log`), this.#said.join('\n'))
    for (const [index, page] of this.context.pages().entries()) {
      await page.screenshot({ path: join(folder, `${this.name}-${index}.png`) }).catch(() => undefined)
    }
  }

  async close() {
    await this.context.close()
    await rm(this.profile, { recursive: true, force: true })
  }
}

/** Runs in each page before its own scripts. */
function rememberPeerConnections() {
  const Original = window.RTCPeerConnection
  /** @type {RTCPeerConnection[]} */
  const all = []
  Object.assign(window, { peerConnections: all })
  window.RTCPeerConnection = class extends Original {
    /** @param {RTCConfiguration} [configuration] */
    constructor(configuration) {
      super(configuration)
      all.push(this)
    }
  }
}

/** Runs in each page before its own scripts: every key that a worker is ever given, and how often devices are asked for. */
function rememberKeys() {
  /** @type {Set<unknown>} */
  const keys = new Set()
  const asked = { devices: 0 }
  Object.assign(window, { mediaKeys: keys, asked })
  const { postMessage } = Worker.prototype
  /** @param {any[]} words */
  Worker.prototype.postMessage = function (...words) {
    const [message] = words
    if (message?.kind === 'setKey') keys.add(message.data.key)
    return Reflect.apply(postMessage, this, words)
  }
  const devices = navigator.mediaDevices
  if (!devices) return
  const ask = devices.getUserMedia.bind(devices)
  devices.getUserMedia = (wish) => {
    asked.devices += 1
    return ask(wish)
  }
}
