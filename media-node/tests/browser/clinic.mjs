// A clinic's side of private calls: it signs tokens and lists of members, and serves a page with the web client's encryption.
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const web = createRequire(here('../../../web/package.json'));
const now = () => Math.floor(Date.now() / 1000);

/** The page as the web client's own bundler builds it. */
async function build() {
  const { build } = await import(pathToFileURL(web.resolve('vite')));
  const outDir = await mkdtemp(join(tmpdir(), 'locum-private-call-'));
  const installed = (name, path) => ({ find: name, replacement: here(`../../../web/${path}`) });
  await build({
    root: here('.'), configFile: false, logLevel: 'error',
    resolve: {
      alias: [
        installed(/^livekit-client$/, 'node_modules/livekit-client/dist/livekit-client.esm.mjs'),
        installed(/^locum-call$/, 'packages/locum-call/src/index.ts'),
      ],
    },
    build: {
      outDir, target: 'esnext', minify: false, assetsInlineLimit: 0,
      rolldownOptions: { input: here('private.html') },
    },
  });
  return outDir;
}

export class Clinic {
  room = randomUUID();
  generation = 0;
  members = [];

  static async open(edge, node, host = '127.0.0.1') {
    const clinic = new Clinic();
    Object.assign(clinic, { edge, node, pages: await build() });
    clinic.server = createServer((request, response) => void clinic.answer(request, response)).listen(0, host);
    await once(clinic.server, 'listening');
    clinic.origin = `http://${host}:${clinic.server.address().port}`;
    return clinic;
  }

  async close() {
    this.server.close();
    await rm(this.pages, { recursive: true });
  }

  membership() {
    const { room, generation, members } = this;
    const claims = { iss: 'edge-1', aud: 'locum-call', iat: now(), exp: now() + 600, room, generation, members };
    return this.edge.jws('locum-membership+jwt', claims);
  }

  join(who, { device, commitment }) {
    const known = this.members.find(({ id }) => id === who);
    if (known?.device !== device || known?.commitment !== commitment) {
      this.members = [...this.members.filter(({ id }) => id !== who), { id: who, device, commitment }];
      this.generation += 1;
    }
    const token = this.edge.token(who, this.room, {}, { nbf: now() - 10, cnf: { jkt: device } });
    const nodes = [{ id: 'm', url: this.node.url }];
    return { token, room: this.room, participant: who, membership: this.membership(), running: true, nodes };
  }

  leave(who) {
    this.members = this.members.filter(({ id }) => id !== who);
    this.generation += 1;
    return { membership: this.membership() };
  }

  async answer(request, response) {
    const { pathname, searchParams } = new URL(request.url, 'http://x');
    let body = '';
    for await (const chunk of request) body += chunk;
    const who = searchParams.get('who');
    const answers = {
      '/.well-known/jwks.json': () => ({ keys: [this.edge.jwk] }),
      '/join': () => this.join(who, JSON.parse(body).encryption),
      '/membership': () => ({ membership: this.membership() }),
      '/leave': () => this.leave(who),
    };
    const answer = answers[pathname]?.();
    const file = answer ? null : await readFile(join(this.pages, pathname)).catch(() => null);
    const type = answer ? 'application/json' : pathname.endsWith('.html') ? 'text/html' : 'text/javascript';
    response.writeHead(answer || file ? 200 : 404, { 'content-type': type });
    response.end(answer ? JSON.stringify(answer) : file);
  }
}
