// A client in Python, in a process of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { until } from './harness.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PYTHON = process.env.LOCUM_LIVEKIT ?? here('../../../target/livekit/bin/python');

/** A client in a process of its own. */
export class Client {
  /** `script`: one of those beside this file; `more`: its arguments after the node's URL. */
  constructor(script, url, token, ...more) {
    this.lines = [];
    const arguments_ = [here(script), url, ...more];
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
    return this.lines.findLast((line) => 'video' in line) ?? { video: 0, audio: 0, from: {} };
  }

  say(text) {
    this.process.stdin.write(`say ${text}\n`);
  }

  async leave() {
    this.process.stdin.end('leave\n');
    return (await this.exited)[0];
  }

  kill() {
    if (this.process.exitCode === null) this.process.kill('SIGKILL');
  }
}
