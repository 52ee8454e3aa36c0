// Firefox as it comes from the distribution, driven by its own remote protocol (Marionette: JSON over TCP).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './harness.mjs';

const FIREFOX = process.env.FIREFOX ?? 'firefox-esr';
const PREFERENCES = {
  'marionette.port': 0,
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0,
  // Nobody else is to hear that a test runs.
  'app.normandy.enabled': false,
  'browser.safebrowsing.update.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.update.enabled': false,
  'media.gmp-manager.updateEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,',
  'toolkit.telemetry.enabled': false,
};

/** One Firefox with one tab, which answers to what the tests ask of a page. */
export class Firefox {
  #number = 0;
  #open = new Map();
  #rest = Buffer.alloc(0);

  errors = [];

  static async start() {
    const firefox = new Firefox();
    firefox.profile = await mkdtemp(join(tmpdir(), 'locum-firefox-'));
    const lines = Object.entries(PREFERENCES).map((pair) => `user_pref(${pair.map((part) => JSON.stringify(part))});`);
    await writeFile(join(firefox.profile, 'user.js'), lines.join('\n'));
    const words = ['--headless', '--marionette', '--no-remote', '--profile', firefox.profile];
    // A process group of its own: it has many processes, and none of them may stay behind.
    firefox.process = spawn(FIREFOX, words, { detached: true, stdio: 'ignore' });
    firefox.exited = once(firefox.process, 'exit');
    firefox.exited.catch(() => {});
    process.once('exit', firefox.#kill);
    try {
      await firefox.#connect();
    } catch (error) {
      await firefox.stop();
      throw error;
    }
    return firefox;
  }

  async #connect() {
    const port = await until('Firefox to listen', async () => {
      const text = await readFile(join(this.profile, 'MarionetteActivePort'), 'utf8').catch(() => '');
      return Number(text);
    }, 60_000);
    this.socket = connect(port, '127.0.0.1').on('data', (bytes) => this.#read(bytes));
    // Its connection ends with it.
    this.socket.on('error', () => {});
    await once(this.socket, 'connect');
    await this.#ask('WebDriver:NewSession', {});
    await this.#ask('WebDriver:SetTimeouts', { script: 60_000, pageLoad: 60_000 });
  }

  /** Opens a page of the tests. */
  async goto(url) {
    await this.#ask('WebDriver:Navigate', { url });
    await until('the page to be ready', () => this.evaluate(() => Boolean(window.call)));
  }

  async evaluate(work, what) {
    const script = `const done = arguments[1];
      Promise.resolve().then(() => (${work})(arguments[0]))
        .then((value) => done({ value }), (error) => done({ error: String(error) + error?.stack }));`;
    const { value } = await this.#ask('WebDriver:ExecuteAsyncScript', { script, args: [what ?? null] });
    if (value.error) throw new Error(value.error);
    return value.value;
  }

  /** Ends what the page does. */
  context() {
    return { close: () => this.#ask('WebDriver:Navigate', { url: 'about:blank' }) };
  }

  async stop() {
    this.socket?.destroy();
    this.#kill();
    await this.exited.catch(() => {});
    process.off('exit', this.#kill);
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #kill = () => {
    try {
      process.kill(-this.process.pid, 'SIGKILL');
    } catch {
      // Nothing of the group is left.
    }
  };

  /** `[0, number, command, parameters]`, answered by `[1, number, error, result]`, each behind its length. */
  #ask(command, parameters) {
    this.#number += 1;
    const text = JSON.stringify([0, this.#number, command, parameters]);
    this.socket.write(`${Buffer.byteLength(text)}:${text}`);
    return new Promise((resolve, reject) => this.#open.set(this.#number, { resolve, reject, command }));
  }

  #read(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const colon = this.#rest.indexOf(':');
      const end = colon + 1 + Number(this.#rest.subarray(0, Math.max(colon, 0)));
      if (colon < 0 || this.#rest.length < end) return;
      const message = JSON.parse(this.#rest.subarray(colon + 1, end));
      this.#rest = this.#rest.subarray(end);
      // The first one says who it is.
      if (Array.isArray(message)) this.#answered(message);
    }
  }

  #answered([, number, error, result]) {
    const { resolve, reject, command } = this.#open.get(number);
    this.#open.delete(number);
    if (error) reject(new Error(`${command}: ${error.error}: ${error.message}`));
    else resolve(result);
  }
}
