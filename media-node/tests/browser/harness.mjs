// Starts a media node that stands alone, serves the test page, signs tokens, drives Chromium.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
export const BINARY = process.env.LOCUM_MEDIA ?? here('../../../target/debug/locum-media');
export const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const CHROMIUM_FLAGS = [
  '--no-sandbox', '--headless=new', '--disable-gpu', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--no-first-run', '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream', '--autoplay-policy=no-user-gesture-required',
];

/** Keys of an edge host that exists only here. */
export class Edge {
  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const { crv, kty, x } = publicKey.export({ format: 'jwk' });
    const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x })).digest('base64url');
    this.privateKey = privateKey;
    this.jwk = { kty, crv, x, kid, alg: 'EdDSA', use: 'sig' };
  }

  token(identity, room, grants = {}, claims = {}) {
    const now = Math.floor(Date.now() / 1000);
    return this.jws('JWT', {
      iss: 'edge-1', aud: 'locum-media', sub: identity, jti: randomUUID(), nbf: now, exp: now + 600,
      name: 'A Name That Must Not Travel',
      video: {
        roomJoin: true, room, canPublish: true, canSubscribe: true, canPublishData: true,
        canPublishSources: ['camera', 'microphone', 'screen_share'], ...grants,
      },
      ...claims,
    });
  }

  jws(typ, claims) {
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = `${encode({ alg: 'EdDSA', typ, kid: this.jwk.kid })}.${encode(claims)}`;
    return `${signed}.${sign(null, Buffer.from(signed), this.privateKey).toString('base64url')}`;
  }
}

/** A `locum-media` process. */
export class MediaNode {
  /** `listen`: address; `more`: lines of configuration; `under`: a program that runs the node. */
  static async start(edge, { more = '', ...rest } = {}) {
    const files = { 'keys.json': JSON.stringify({ keys: [edge.jwk] }) };
    return MediaNode.startWith(`jwks_file = "keys.json"\n${more}`, { files, ...rest });
  }

  /** With these lines of configuration, and files beside it. */
  static async startWith(more, { files = {}, listen = '127.0.0.1:0', under = [] } = {}) {
    const node = new MediaNode();
    node.dir = await mkdtemp(join(tmpdir(), 'locum-media-'));
    for (const [name, text] of Object.entries(files)) await writeFile(join(node.dir, name), text);
    await writeFile(join(node.dir, 'media.toml'), `
      zone = "locum.localhost"
      region = "eu-central"
      state_dir = "state"
      ready_file = "ready.json"
      signal_listen = "${listen}"
      media_listen = "${listen}"
      announce_host = "${listen.split(':')[0]}"
      ${more}
    `);
    node.log = '';
    const [program, ...arguments_] = [...under, BINARY, '--config', join(node.dir, 'media.toml')];
    node.process = spawn(program, arguments_, { stdio: ['ignore', 'ignore', 'pipe'] });
    node.process.stderr.on('data', (chunk) => { node.log += chunk; });
    node.exited = once(node.process, 'exit');
    const ready = await until('the node to be ready', async () => {
      if (node.process.exitCode !== null) throw new Error(`the node ended: ${node.log}`);
      return JSON.parse(await readFile(join(node.dir, 'ready.json'), 'utf8').catch(() => 'null'));
    });
    node.addresses = ready.addresses;
    node.pid = ready.pid;
    node.url = `ws://${ready.addresses.signal}`;
    return node;
  }

  async metric(name) {
    const text = await (await fetch(`http://${this.addresses.telemetry}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith(name) && /[ {]/.test(line[name.length]));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').pop()), 0);
  }

  async stop() {
    this.process.kill('SIGTERM');
    const [code] = await this.exited;
    await rm(this.dir, { recursive: true });
    return code;
  }
}

/** Chromium, and the page it opens. */
export class Browsers {
  /** `host`: where pages come from; `executablePath`: Chromium, or what runs it elsewhere; `more`: of other origins. */
  static async start(host = '127.0.0.1', executablePath = CHROMIUM, more = []) {
    const browsers = new Browsers();
    const files = { '/': ['text/html', await readFile(here('page.html'))] };
    for (const script of ['livekit-client.umd.js', 'livekit-client.e2ee.worker.js']) {
      const path = here(`node_modules/livekit-client/dist/${script}`);
      files[`/${script}`] = ['text/javascript', await readFile(path)];
    }
    browsers.server = createServer((request, response) => {
      const [type, body] = files[new URL(request.url, 'http://x').pathname] ?? [];
      response.writeHead(body ? 200 : 404, { 'content-type': type ?? 'text/plain' }).end(body);
    }).listen(0, host);
    await once(browsers.server, 'listening');
    browsers.origin = `http://${host}:${browsers.server.address().port}/`;
    // Devices and workers are for secure contexts, which loopback is without being told.
    const trusted = [browsers.origin, ...more].join();
    const args = [...CHROMIUM_FLAGS, `--unsafely-treat-insecure-origin-as-secure=${trusted}`];
    browsers.chromium = await chromium.launch({ executablePath, args });
    return browsers;
  }

  /** A page in a profile of its own. */
  async page() {
    const context = await this.chromium.newContext({ permissions: ['camera', 'microphone'] });
    const page = await context.newPage();
    page.errors = [];
    page.on('pageerror', (error) => page.errors.push(error.message));
    if (process.env.VERBOSE) page.on('console', (message) => console.log(message.text()));
    await page.goto(this.origin);
    await page.waitForFunction(() => window.call);
    return page;
  }

  async stop() {
    await this.chromium.close();
    this.server.close();
  }
}

/** A node, a browser, and those who are in a call: what every test begins with. */
export class Stage {
  constructor() {
    this.edge = new Edge();
    this.pages = [];
  }

  async start() {
    [this.node, this.browsers] = await Promise.all([MediaNode.start(this.edge), Browsers.start()]);
  }

  async stop() {
    await this.browsers?.stop();
    if (this.node) assert.equal(await this.node.stop(), 0, 'the node ends cleanly');
  }

  /** Ends every call of the test before. */
  async clear() {
    for (const page of this.pages.splice(0)) {
      assert.deepEqual(page.errors, []);
      await page.context().close();
    }
    const isEmpty = async () => (await this.node.metric('locum_media_sessions')) === 0;
    await until('the node to be empty', isEmpty, 30_000);
  }

  async joins(identity, room, options = {}) {
    const page = await this.browsers.page();
    this.pages.push(page);
    const token = this.edge.token(identity, room, options.grants);
    page.connectMs = await page.evaluate(
      ([url, token, options]) => call.join(url, token, options), [this.node.url, token, options]);
    if (options.publish !== false) await page.evaluate(() => call.publish(true, true));
    return page;
  }

  async twoInACall(options) {
    const room = randomUUID();
    const doctor = await this.joins('doctor-1', room, options);
    const patient = await this.joins('patient-1', room, options);
    await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
    return { room, doctor, patient };
  }
}

/** Waits for a condition, with a deadline instead of a pause. */
export async function until(what, condition, deadlineMs = 20_000) {
  const deadline = Date.now() + deadlineMs;
  let last;
  for (;;) {
    last = await condition();
    if (last) return last;
    if (Date.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export const arriving = (page) => page.evaluate(() => call.arriving());
export const people = (page) => page.evaluate(() => call.people());
/** The candidates the page's packets come and go by. */
export const way = (page) => page.evaluate(() => call.way());
export const events = (page) => page.evaluate(() => call.events);
export const happened = async (page, event) => (await events(page)).some(([name]) => name === event);

/** Waits until pictures move and sound is heard, both grown since now. */
export async function seesAndHears(page) {
  const before = await arriving(page);
  return until('moving pictures and sound', async () => {
    const now = await arriving(page);
    const moves = now.frames > before.frames + 10 && now.picture !== before.picture && now.picture.length > 1;
    return moves && now.energy > before.energy + 1e-4 && now;
  }).catch(async (error) => {
    const details = await page.evaluate(() => call.details());
    const lines = [before, ...details, ...(await events(page))].map((line) => JSON.stringify(line));
    throw new Error([error.message, ...lines].join('\n'));
  });
}
