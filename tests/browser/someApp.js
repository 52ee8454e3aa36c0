import { createServer } from 'node:http'
import * as client from 'openid-client'
import { localFetch } from './localFetch.js'

/** An app of somebody else's, by `openid-client`: a web server with an address to be answered at and one to be opened at. */
export class SomeApp {
  #server = createServer((request, response) => this.#answer(request, response))
  /** @type {((url: URL) => void)[]} */
  #waiting = []
  /** @type {URL[]} */
  #come = []
  /** What it shows at `/keys`. @type {object} */
  keys = { keys: [] }

  static async start() {
    const app = new SomeApp()
    await new Promise((done) => app.#server.listen(0, '127.0.0.1', () => done(undefined)))
    return app
  }

  async stop() {
    this.#server.closeAllConnections()
    await new Promise((done) => this.#server.close(done))
  }

  get origin() {
    const address = this.#server.address()
    if (!address || typeof address === 'string') throw new Error('not listening')
    return `http://127.0.0.1:${address.port}`
  }

  get back() {
    return `${this.origin}/back`
  }

  get launch() {
    return `${this.origin}/launch`
  }

  /** Where a browser came, the next time one does. @returns {Promise<URL>} */
  visited() {
    const known = this.#come.shift()
    return known ? Promise.resolve(known) : new Promise((done) => this.#waiting.push(done))
  }

  /**
   * @param {import('node:http').IncomingMessage} request
   * @param {import('node:http').ServerResponse} response
   */
  #answer(request, response) {
    const url = new URL(request.url ?? '/', this.origin)
    if (url.pathname === '/keys') {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(this.keys))
      return
    }
    if (url.pathname === '/back' || url.pathname === '/launch') {
      const next = this.#waiting.shift()
      if (next) next(url)
      else this.#come.push(url)
    }
    response.setHeader('content-type', 'text/html').end('<title>App</title><h1>The app has it</h1>')
  }
}

/**
 * What the app knows of the clinic, found out by itself.
 *
 * @param {string} issuer
 * @param {string} id
 * @param {client.ClientAuth} auth
 */
export function discover(issuer, id, auth) {
  const execute = [client.allowInsecureRequests]
  return client.discovery(new URL(issuer), id, undefined, auth, { execute, [client.customFetch]: localFetch })
}

/**
 * @param {client.Configuration} config
 * @param {Record<string, string>} wish
 */
export async function begin(config, wish) {
  const verifier = client.randomPKCECodeVerifier()
  const [state, nonce] = [client.randomState(), client.randomNonce()]
  const challenge = await client.calculatePKCECodeChallenge(verifier)
  const url = client.buildAuthorizationUrl(config, {
    code_challenge: challenge,
    code_challenge_method: 'S256',
    state,
    nonce,
    ...wish,
  })
  const checks = {
    pkceCodeVerifier: verifier,
    expectedState: state,
    expectedNonce: nonce,
    idTokenExpected: true,
  }
  return { url: url.href, checks }
}
