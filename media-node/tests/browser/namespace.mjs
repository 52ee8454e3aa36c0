// A viewer behind a line of its own: a second network namespace, joined to the test's by a shaped cable.
import { execFile, spawn } from 'node:child_process';
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
