import { request } from 'node:http'

/**
 * `fetch` for names below `localhost`, which are this machine (RFC 6761 §6.3): browsers know that, Node asks a name server.
 *
 * @param {string | URL} url
 * @param {any} [options]
 * @returns {Promise<Response>}
 */
export async function localFetch(url, options = {}) {
  const { hostname, host, port, pathname, search } = new URL(url)
  const headers = Object.fromEntries(new Headers(options.headers).entries())
  const body = options.body instanceof URLSearchParams ? options.body.toString() : options.body
  if (body !== undefined && body !== null) headers['content-length'] = String(Buffer.byteLength(body))
  return new Promise((resolve, reject) => {
    const where = hostname.endsWith('.localhost') ? '127.0.0.1' : hostname
    const path = pathname + search
    const asked = request(
      { host: where, port, path, method: options.method ?? 'GET', headers: { ...headers, host } },
      async (answer) => {
        const parts = []
        for await (const part of answer) parts.push(part)
        const status = answer.statusCode ?? 500
        const given = new Headers()
        for (const [name, value] of Object.entries(answer.headers)) given.set(name, String(value))
        const empty = status === 204 || status === 304
        const response = new Response(empty ? null : Buffer.concat(parts), { status, headers: given })
        Object.defineProperty(response, 'url', { value: String(url) })
        resolve(response)
      },
    )
    asked.once('error', reject)
    asked.end(body ?? undefined)
  })
}
