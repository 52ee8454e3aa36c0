// A viewer behind a line of its own: a second network namespace, joined to the test's by a shaped cable, or by links that
// come and go, behind a firewall.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const INSIDE = 'LOCUM_TEST_ALONE';

/** The node's end of the cable; the viewer's end is the next address. */
export const NODE_ADDRESS = '10.77.0.1';

/** Whether this process is in a namespace of its own; otherwise runs the test file in one, to its end. */
export async function alone(url) {
  if (process.env[INSIDE]) return true;
  const root = process.getuid() === 0 ? [] : ['--map-root-user'];
  const itself = spawn('unshare', ['--net', '--mount', ...root, process.execPath, '--test', fileURLToPath(url)], {
    env: { ...process.env, [INSIDE]: '1', NODE_TEST_CONTEXT: undefined }, stdio: 'inherit',
  });
  const code = await new Promise((resolve) => itself.on('exit', resolve));
  if (code !== 0) throw new Error(`the test in its own network ended with ${code}`);
  return false;
}

/** An address of this network that is not the loopback's, for all that run in it. */
export function wire() {
  now('ip', 'link', 'set', 'lo', 'up');
  now('ip', 'link', 'add', 'here', 'type', 'veth', 'peer', 'name', 'there');
  now('ip', 'address', 'add', `${NODE_ADDRESS}/24`, 'dev', 'here');
  for (const end of ['here', 'there']) now('ip', 'link', 'set', end, 'up');
  now('ip', 'route', 'add', 'default', 'dev', 'here');
}

/** The cable, and a way to start Chromium at its far end. */
export class Cable {
  static async lay(chromium) {
    const cable = new Cable();
    cable.holder = spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
    await new Promise((resolve) => cable.holder.on('spawn', resolve));
    const pid = String(cable.holder.pid);
    await run('ip', ['link', 'set', 'lo', 'up']);
    // The holder has its namespace a moment after it has its process.
    for (const deadline = Date.now() + 10_000; ;) {
      const [ours, theirs] = await Promise.all(['self', pid].map((who) => run('readlink', [`/proc/${who}/ns/net`])));
      if (ours.stdout !== theirs.stdout) break;
      if (Date.now() > deadline) throw new Error('no second namespace');
    }
    await run('ip', ['link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far', 'netns', pid]);
    await run('ip', ['address', 'add', `${NODE_ADDRESS}/24`, 'dev', 'near']);
    await run('ip', ['link', 'set', 'near', 'up']);
    const there = (...words) => run('nsenter', ['--net', '--target', pid, ...words]);
    await there('ip', 'link', 'set', 'lo', 'up');
    await there('ip', 'address', 'add', '10.77.0.2/24', 'dev', 'far');
    await there('ip', 'link', 'set', 'far', 'up');
    cable.dir = await mkdtemp(join(tmpdir(), 'locum-cable-'));
    cable.chromium = join(cable.dir, 'chromium');
    await writeFile(cable.chromium, `#!/bin/sh\nexec nsenter --net --target ${pid} ${chromium} "$@"\n`);
    await chmod(cable.chromium, 0o755);
    return cable;
  }

  /** What the cable carries towards the viewer, in kbit/s; `null`: all. */
  async carries(kbits) {
    await run('tc', ['qdisc', 'del', 'dev', 'near', 'root']).catch(() => {});
    if (kbits === null) return;
    const shape = ['rate', `${kbits}kbit`, 'burst', '4kb', 'latency', '400ms'];
    await run('tc', ['qdisc', 'add', 'dev', 'near', 'root', 'tbf', ...shape]);
  }

  async cut() {
    this.holder.kill('SIGKILL');
    await rm(this.dir, { recursive: true });
  }
}

/** Where a client is: links to the node's network, which is on none of them, and a firewall. */
export class Place {
  /** `number`: of this place among those of a test, the first being 0. */
  static async open(chromium, number = 0) {
    const place = new Place();
    if (number === 0) {
      now('ip', 'link', 'set', 'lo', 'up');
      now('ip', 'address', 'add', `${NODE_ADDRESS}/32`, 'dev', 'lo');
    }
    // It ends with this process, whose pipe it reads.
    place.holder = spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
    place.holder.stdin.write('\n');
    await once(place.holder.stdout, 'data');
    place.run('ip', 'link', 'set', 'lo', 'up');
    place.links = 100 * number;
    place.dir = await mkdtemp(join(tmpdir(), 'locum-place-'));
    place.chromium = join(place.dir, 'chromium');
    const enter = `exec nsenter --net --target ${place.holder.pid} ${chromium} "$@"`;
    await writeFile(place.chromium, `#!/bin/sh\n${enter}\n`);
    await chmod(place.chromium, 0o755);
    return place;
  }

  run(...command) {
    return now('nsenter', '--net', '--target', String(this.holder.pid), ...command);
  }

  /** A link to the node, and the way to it from now on. */
  link() {
    this.links += 1;
    const [near, far, net] = [`near${this.links}`, `far${this.links}`, `10.77.${this.links}`];
    now('ip', 'link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', String(this.holder.pid));
    now('ip', 'address', 'add', `${net}.1/24`, 'dev', near);
    now('ip', 'link', 'set', near, 'up');
    this.run('ip', 'address', 'add', `${net}.2/24`, 'dev', far);
    this.run('ip', 'link', 'set', far, 'up');
    this.run('ip', 'route', 'replace', 'default', 'via', `${net}.1`, 'dev', far);
    return { near, far, net };
  }

  /** The link is gone, as when a phone leaves its network: the interface has no address any more. */
  unlink({ far }) {
    this.run('ip', 'link', 'delete', far);
  }

  /** Sets the firewall, in place of the one before. */
  rules(text) {
    this.run('nft', `flush ruleset; ${text}`);
  }

  async close() {
    this.holder.stdin.end();
    await once(this.holder, 'exit');
    await rm(this.dir, { recursive: true });
  }
}

/** Runs a program of the system to its end. */
export function now(program, ...words) {
  return execFileSync(program, words, { encoding: 'utf8' });
}
