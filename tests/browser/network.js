import { execFile, spawn } from 'node:child_process'
import { createWriteStream, existsSync, mkdirSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { until } from './until.js'

const ROOT = resolve(import.meta.dirname, '../..')
export const RESULTS = join(ROOT, 'tests/results/browser')

const BINARY = join(process.env.LOCUM_BIN_DIR ?? join(ROOT, 'target/debug'), 'locum')

const START_DEADLINE_MS = 60_000
const STOP_DEADLINE_MS = 20_000

/** @typedef {{ username: string, password: string, roles: string[] }} Account */
/** @typedef {{ processes: Record<string, { pid: number, addresses: Record<string, string> }>, accounts: Account[] }} Ready */

/** A network in a folder of its own, started by `locum up`; people use its first region. */
export class Network {
  /** @type {import('node:child_process').ChildProcess | null} */
  #up = null
  /** @type {Ready | null} */
  #ready = null
  #data
  #regions
  #more

  /**
   * @param {string} data
   * @param {number} regions
   * @param {string[]} more further arguments of `locum up`
   */
  constructor(data, regions, more) {
    this.#data = data
    this.#regions = regions
    this.#more = more
  }

  /** @param {string[]} [more] further arguments of `locum up` */
  static async start(regions = 1, more = []) {
    const network = new Network(await mkdtemp(join(tmpdir(), 'locum-browser-')), regions, more)
    await network.start()
    return network
  }

  async start() {
    if (!existsSync(BINARY)) throw new Error(`no ${BINARY}: build the binaries or set LOCUM_BIN_DIR`)
    mkdirSync(RESULTS, { recursive: true })
    const log = createWriteStream(join(RESULTS, 'network.log'), { flags: 'a' })
    // A process group of its own: whatever happens to this test, nothing of the network stays behind.
    const args = ['up', '--json', '--port', '0', '--regions', `${this.#regions}`, ...this.#more]
    const up = spawn(BINARY, [...args, '--data', join(this.#data, 'data')], {
      cwd: ROOT,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#up = up
    process.once('exit', this.#kill)
    up.stderr.pipe(log)
    this.#ready = await readiness(up)
  }

  /** Asks the network to end, as an operator would, and waits for that. */
  async stop() {
    const up = this.#up
    if (!up) return
    this.#up = null
    const ended = up.exitCode !== null || up.signalCode !== null ? Promise.resolve() : exit(up)
    up.kill('SIGTERM')
    const late = setTimeout(() => killGroup(up), STOP_DEADLINE_MS)
    await ended
    clearTimeout(late)
    killGroup(up)
    process.off('exit', this.#kill)
  }

  /** Stops the network and forgets its data. */
  async remove() {
    await this.stop()
    await rm(this.#data, { recursive: true, force: true })
  }

  /** @param {string} path */
  page(path) {
    const edge = this.#regions === 1 ? 'edge-1' : 'edge-us-west'
    return `http://app.locum.localhost:${this.port(edge, 'http')}${path}`
  }

  /**
   * Where one of the network's own processes listens, on the loopback.
   *
   * @param {string} name
   * @param {string} what
   */
  port(name, what) {
    return Number(this.#ready?.processes[name]?.addresses[what]?.split(':').pop())
  }

  /**
   * Sends a signal to one of the network's own processes.
   *
   * @param {string} name
   * @param {NodeJS.Signals} signal
   */
  signal(name, signal) {
    const pid = this.#ready?.processes[name]?.pid
    if (!pid) throw new Error(`the network has no process ${name}`)
    process.kill(pid, signal)
  }

  /**
   * Has a media node that was killed started again, and waits until it takes people: the control plane may make it
   * wait, longer each time.
   *
   * @param {string} name
   */
  async startAgain(name) {
    const known = this.#ready?.processes[name]
    if (!known) throw new Error(`the network has no process ${name}`)
    const data = join(this.#data, 'data')
    const ready = join(data, 'run', `${name}.json`)
    // Where it was, as a node in the world is: ports that the system gave would be others.
    // Somebody who still runs is not started; a dead one is a zombie until `locum up` sees it.
    const state = async () =>
      (await readFile(`/proc/${known.pid}/stat`, 'utf8').catch(() => ') Z')).split(') ')[1]
    await until(`${name} is dead`, async () => (await state())?.startsWith('Z'))
    const path = join(data, `${name}.toml`)
    const configuration = await readFile(path, 'utf8')
    const there = `signal_listen = "${known.addresses.signal}"`
    await writeFile(path, configuration.replace(/^signal_listen = .*$/m, there))
    // As `locum drill` asks for it: the ready file is the dead process's.
    await rm(ready, { force: true })
    await mkdir(join(data, 'run/again'), { recursive: true })
    await writeFile(join(data, 'run/again', name), '')
    const { pid, addresses } = await until(`${name} is ready again`, async () =>
      JSON.parse(await readFile(ready, 'utf8').catch(() => 'null')),
    )
    Object.assign(known, { pid, addresses })
    const takesPeople = async () => (await fetch(`http://${addresses.signal}/probe`)).status === 204
    await until(`${name} takes people again`, takesPeople, 120_000)
  }

  /**
   * Has `locum` do something to the network, as an operator would; answers what it said.
   *
   * @param {string} what
   * @param {string[]} words
   */
  async command(what, ...words) {
    const run = promisify(execFile)
    const { stdout } = await run(BINARY, [what, ...words, '--data', join(this.#data, 'data')], { cwd: ROOT })
    return stdout
  }

  /**
   * @param {string} role
   * @param {string} [username] the first of that role if left out
   * @returns {Account}
   */
  account(role, username) {
    const found = this.#ready?.accounts.find(
      (account) => account.roles.includes(role) && (!username || account.username === username),
    )
    if (!found) throw new Error(`the demo clinic has no ${role}`)
    return found
  }

  #kill = () => this.#up && killGroup(this.#up)
}

/**
 * @param {import('node:child_process').ChildProcess} up
 * @returns {Promise<Ready>}
 */
async function readiness(up) {
  const deadline = setTimeout(() => killGroup(up), START_DEADLINE_MS)
  try {
    if (!up.stdout) throw new Error('no output to read')
    for await (const line of createInterface({ input: up.stdout })) {
      const said = line.startsWith('{') ? JSON.parse(line) : {}
      if (said.processes) return said
    }
    throw new Error(`\`locum up\` was not ready within ${START_DEADLINE_MS} ms; see ${RESULTS}/network.log`)
  } finally {
    clearTimeout(deadline)
  }
}

/** @param {import('node:child_process').ChildProcess} up */
function killGroup(up) {
  try {
    if (up.pid) process.kill(-up.pid, 'SIGKILL')
  } catch {
    // Nothing of the group is left.
  }
}

/** @param {import('node:child_process').ChildProcess} child */
function exit(child) {
  return new Promise((done) => child.once('exit', done))
}
