import { createServer } from 'node:http'
import Provider from 'oidc-provider'

/** Somebody else who vouches for staff: `oidc-provider`, with one person who is always there. */
export class OtherLogin {
  #server = createServer()
  /** How the person proved who they are, as it says. @type {string[]} */
  amr = ['pwd']

  static async start() {
    const login = new OtherLogin()
    await new Promise((done) => login.#server.listen(0, '127.0.0.1', () => done(undefined)))
    return login
  }

  async stop() {
    this.#server.closeAllConnections()
    await new Promise((done) => this.#server.close(done))
  }

  get issuer() {
    const address = this.#server.address()
    if (!address || typeof address === 'string') throw new Error('not listening')
    return `http://127.0.0.1:${address.port}`
  }

  /**
   * Begins to answer, for one client.
   *
   * @param {string} back
   */
  serve(back) {
    const provider = new Provider(this.issuer, {
      clients: [{ client_id: 'locum', client_secret: 'a secret between the two', redirect_uris: [back] }],
      claims: { openid: ['sub', 'amr'] },
      cookies: { keys: ['only for this test'] },
      features: { devInteractions: { enabled: false } },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
      interactions: { url: (_, { uid }) => `/interaction/${uid}` },
      // Nobody is asked whether the clinic may know who they are.
      loadExistingGrant: async ({ oidc }) => {
        const grant = new oidc.provider.Grant({
          clientId: oidc.client?.clientId,
          accountId: oidc.session?.accountId,
        })
        grant.addOIDCScope('openid')
        await grant.save()
        return grant
      },
    })
    const answer = provider.callback()
    this.#server.on('request', (request, response) => {
      if (!request.url?.startsWith('/interaction/')) return answer(request, response)
      const login = { accountId: 'mira@hospital', amr: this.amr, remember: false }
      provider.interactionFinished(request, response, { login }).catch((error) => {
        response.statusCode = 500
        response.end(String(error))
      })
    })
  }
}
