import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** Stands before a TCP port of this machine and makes it far away: all that passes is late. */
export class Relay {
  #server

  /** @param {import('node:net').Server} server */
  constructor(server) {
    this.#server = server
  }

  /**
   * @param {number} port
   * @param {number} delayMs each way
   */
  static async before(port, delayMs) {
    const server = createServer((near) => {
      const far = connect(port, '127.0.0.1')
      passLate(near, far, delayMs)
      passLate(far, near, delayMs)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new Relay(server)
  }

  get port() {
    const address = this.#server.address()
    return typeof address === 'object' ? address?.port : undefined
  }

  close() {
    this.#server.close()
  }
}

/**
 * @param {import('node:net').Socket} from
 * @param {import('node:net').Socket} to
 * @param {number} delayMs
 */
function passLate(from, to, delayMs) {
  from.on('data', (bytes) => setTimeout(() => to.writable && to.write(bytes), delayMs))
  from.on('end', () => setTimeout(() => to.end(), delayMs))
  from.on('error', () => to.destroy())
  from.on('close', () => setTimeout(() => to.destroy(), delayMs))
}
