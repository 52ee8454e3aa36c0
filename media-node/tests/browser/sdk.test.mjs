// The LiveKit SDK for Python in one room with a browser, over both versions of signalling.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { after, afterEach, before, describe, it } from 'node:test';
import { Stage, events, people, seesAndHears, until } from './harness.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PYTHON = process.env.LOCUM_LIVEKIT ?? here('../../../target/livekit/bin/python');

/** A client in a process of its own. */
class Client {
  constructor(url, token, version) {
    this.lines = [];
    const arguments_ = [here('client.py'), url, version];
    const env = { ...process.env, LOCUM_TOKEN: token };
    this.process = spawn(PYTHON, arguments_, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.exited = once(this.process, 'exit');
    this.errors = '';
    this.process.stderr.on('data', (chunk) => { this.errors += chunk; });
    createInterface({ input: this.process.stdout }).on('line', (line) => this.lines.push(JSON.parse(line)));
  }

  has(wanted) {
    return this.lines.find((line) => Object.entries(wanted).every(([key, value]) => line[key] === value));
  }

  async until(what, condition) {
    await until(what, () => {
      if (this.process.exitCode !== null) throw new Error(`the client ended: ${this.errors}`);
      return condition();
    }).catch((error) => {
      throw new Error([error.message, ...this.lines.map((line) => JSON.stringify(line)), this.errors].join('\n'));
    });
  }

  arrived() {
    return this.lines.findLast((line) => 'video' in line) ?? { video: 0, audio: 0 };
  }

  async leave() {
    this.process.stdin.end('leave\n');
    return (await this.exited)[0];
  }

  kill() {
    if (this.process.exitCode === null) this.process.kill('SIGKILL');
  }
}

describe('a client that is no browser', { timeout: 120_000 }, () => {
  const stage = new Stage();
  let client;
  before(() => stage.start());
  after(() => stage.stop());
  afterEach(async () => {
    client?.kill();
    await stage.clear();
  });

  for (const version of ['v1', 'v0']) {
    it(`sees, hears and is seen over ${version}`, async () => {
      const room = randomUUID();
      const browser = await stage.joins('browser-1', room, { v0: version === 'v0' });
      client = new Client(stage.node.url, stage.edge.token('client-1', room), version);
      await client.until('the client to publish', () => client.has({ event: 'published' }));
      await seesAndHears(browser);
      await client.until('pictures and sound', () => client.arrived().video > 20 && client.arrived().audio > 20);
      const heard = async () => (await events(browser)).some(([, what]) => what === 'client-1/t/hello');
      await until('the words of the client', heard);
      await browser.evaluate(() => room.localParticipant.publishData(
        new TextEncoder().encode('to you'), { reliable: true, topic: 't' }));
      await client.until('the words of the browser', () => client.has({ event: 'data', text: 'to you' }));
      const told = () => browser.evaluate(() => {
        const [other] = room.remoteParticipants.values();
        return room.activeSpeakers.includes(other) && other.connectionQuality === 'excellent';
      });
      await until('to be told that the client speaks, on a good line', told);
      assert.equal(await client.leave(), 0, client.errors);
      await until('the client to be gone', async () => (await people(browser)).length === 0, 5_000);
    });
  }
});
