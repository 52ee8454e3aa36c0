import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'

const SERVICE = resolve(import.meta.dirname, '../stripe/service.py')

/** A service that speaks Stripe's API: `localstripe`, with what it lacks in front of it. */
export class Stripe {
  /** @type {import('node:child_process').ChildProcess} */
  #process
  #keys = mkdtempSync(join(tmpdir(), 'locum-stripe-'))

  /**
   * @param {import('node:child_process').ChildProcess} process
   * @param {string} base
   */
  constructor(process, base) {
    this.#process = process
    this.base = base
    writeFileSync(join(this.#keys, 'secret'), 'sk_test_of_the_network\n')
    writeFileSync(join(this.#keys, 'webhook'), 'whsec_of_the_network\n')
  }

  static async start() {
    const python = process.env.LOCUM_LOCALSTRIPE ?? 'python3'
    // It ends when its input does.
    const service = spawn(python, [SERVICE], { stdio: ['pipe', 'pipe', 'inherit'] })
    for await (const line of createInterface({ input: service.stdout })) {
      const { port } = JSON.parse(line)
      return new Stripe(service, `http://127.0.0.1:${port}`)
    }
    throw new Error(
      `${python} did not start localstripe: setup/localstripe installs it, LOCUM_LOCALSTRIPE names it`,
    )
  }

  /** What `locum up` is told of it. */
  options() {
    const values = [
      ['--variable-file', `stripe_secret_key=${join(this.#keys, 'secret')}`],
      ['--variable-file', `stripe_webhook_secret=${join(this.#keys, 'webhook')}`],
      ['--variable', 'stripe_publishable_key=pk_test_of_the_network'],
      ['--variable', `stripe_api=${this.base}`],
      ['--variable', `stripe_script=${this.base}/v3/`],
      ['--variable', `stripe_page_hosts=${this.base}`],
    ]
    return values.flat()
  }

  stop() {
    this.#process.stdin?.end()
    rmSync(this.#keys, { recursive: true, force: true })
  }
}
