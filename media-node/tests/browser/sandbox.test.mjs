// What a node asks of the kernel during a call.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { Browsers, Edge, MediaNode, seesAndHears } from './harness.mjs';

const NAME = 'A Name That Must Not Travel';
const FILES = 'open,openat,openat2,creat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,mkdir,mkdirat,'
  + 'mknod,mknodat,truncate,unlink,unlinkat';
const PROGRAMS = 'execve,execveat,fork,vfork,clone,clone3';

describe('a node during a call', { timeout: 120_000 }, () => {
  it('writes in its own folder alone, starts no program, and never sees a name', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'locum-trace-'));
    const trace = join(dir, 'trace');
    const under = ['strace', '-f', '-qq', '-s', '4096', '-o', trace, '-e', `trace=${FILES},${PROGRAMS},write,writev`];
    const edge = new Edge();
    const [node, browsers] = await Promise.all([MediaNode.start(edge, { under }), Browsers.start()]);
    const run = resolve(node.dir);
    try {
      const room = randomUUID();
      const join_ = async (identity) => {
        const page = await browsers.page();
        await page.evaluate(([url, token]) => call.join(url, token), [node.url, edge.token(identity, room)]);
        await page.evaluate(() => call.publish(true, true));
        return page;
      };
      const pages = [await join_('doctor-1'), await join_('patient-1')];
      await Promise.all(pages.map(seesAndHears));
    } finally {
      await browsers.stop();
      // The node, not the one who watches it.
      process.kill(node.pid, 'SIGTERM');
      await node.exited;
      await rm(node.dir, { recursive: true });
    }
    const lines = (await readFile(trace, 'utf8')).split('\n');
    await rm(dir, { recursive: true });
    const done = lines.filter((line) => !/ = -1 E/.test(line));

    const writes = done.filter((line) => / open(at2?)?\(.*O_(WRONLY|RDWR|CREAT|TRUNC)/.test(line)
      || / (creat|rename|renameat2?|link|linkat|symlink|symlinkat|mkdir|mkdirat|mknodat?|truncate|unlink|unlinkat)\(/.test(line));
    assert.ok(writes.some((line) => line.includes('ready')), 'the trace shows what is written');
    const own = (line) => [...line.matchAll(/"([^"]+)"/g)].every(([, path]) => resolve('/', path).startsWith(`${run}/`));
    assert.deepEqual(writes.filter((line) => !own(line)), []);

    const programs = done.filter((line) => / (execve|execveat|fork|vfork)\(/.test(line));
    assert.equal(programs.length, 1, 'its own start, and no other');
    const processes = done.filter((line) => / clone3?\(/.test(line) && !line.includes('CLONE_THREAD'));
    assert.deepEqual(processes, []);
    assert.ok(!lines.some((line) => line.includes(NAME)), 'no name');
    assert.ok(lines.some((line) => / write(v)?\(.*"/.test(line)), 'what was written would have been seen');
  });
});
