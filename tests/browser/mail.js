import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { until } from './until.js'

const SERVER = resolve(import.meta.dirname, '../mail/server.py')

/** A mail server (`aiosmtpd`) that keeps what it takes, and refuses addresses that begin with `nobody`. */
export class Mail {
  /**
   * @param {import('node:child_process').ChildProcess} server
   * @param {string} folder
   */
  constructor(server, folder) {
    this.server = server
    this.folder = folder
  }

  static async start() {
    const folder = await mkdtemp(join(tmpdir(), 'locum-mail-'))
    const python = process.env.LOCUM_AIOSMTPD ?? 'python3'
    const server = spawn(python, [SERVER, folder, 'plain'], { stdio: ['ignore', 'pipe', 'inherit'] })
    if (!server.stdout) throw new Error('no output')
    const { value: port } = await createInterface({ input: server.stdout })[Symbol.asyncIterator]().next()
    const smtp = `[smtp]\nhost = "127.0.0.1"\nport = ${port}\ntls = "on-loopback-only"\nfrom = "no-reply@clinics.example"\n`
    await writeFile(join(folder, 'messages.toml'), smtp)
    return new Mail(server, folder)
  }

  /** What `locum up` is told. */
  options() {
    return ['--messages', join(this.folder, 'messages.toml')]
  }

  /**
   * The link of the newest mail to somebody whose text has these words.
   *
   * @param {string} to
   * @param {string} words
   */
  link(to, words) {
    return until(`a mail to ${to} with: ${words}`, async () => {
      const taken = await readFile(join(this.folder, 'taken'), 'utf8').catch(() => '')
      /** @type {{ to: string, text: string }[]} */
      const mails = taken
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line))
      const mail = mails.findLast((one) => one.to === to && one.text.includes(words))
      return mail?.text.match(/http\S+/)?.[0]
    })
  }

  async stop() {
    this.server.kill()
    await rm(this.folder, { recursive: true, force: true })
  }
}
