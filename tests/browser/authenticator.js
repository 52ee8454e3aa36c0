/** @typedef {import('playwright-core').Page} Page */

/** Passkeys by their owner's password, which is random and nobody else's. @type {Map<string, any>} */
const kept = new Map()

/** @type {WeakMap<Page, Promise<{ take: (owner: string) => Promise<void>, keep: (owner: string) => Promise<void> }>>} */
const made = new WeakMap()

/**
 * A device with a fingerprint reader and somebody who touches it at once, one a page.
 *
 * @param {Page} page
 */
export function authenticator(page) {
  const known = made.get(page) ?? make(page)
  made.set(page, known)
  return known
}

/** @param {Page} page */
async function make(page) {
  const devtools = await page.context().newCDPSession(page)
  await devtools.send('WebAuthn.enable')
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  })
  return {
    /** @param {string} owner */
    async take(owner) {
      const credential = kept.get(owner)
      if (!credential) throw new Error('no passkey is known')
      const there = await devtools.send('WebAuthn.getCredentials', { authenticatorId })
      if (there.credentials.some((one) => one.credentialId === credential.credentialId)) return
      await devtools.send('WebAuthn.addCredential', { authenticatorId, credential })
    },
    /** @param {string} owner */
    async keep(owner) {
      const { credentials } = await devtools.send('WebAuthn.getCredentials', { authenticatorId })
      // In no order: the new one is whichever is nobody's yet.
      const known = new Set([...kept.values()].map(({ credentialId }) => credentialId))
      const made = credentials.find(({ credentialId }) => !known.has(credentialId))
      if (!made) throw new Error('no passkey was made')
      kept.set(owner, made)
    },
  }
}
