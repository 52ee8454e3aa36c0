// Several media nodes that know each other from a control plane, each at a mesh address of its own.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { BINARY, MediaNode, until } from './harness.mjs';

const beside = (name) => join(dirname(BINARY), name);
const CONTROL = process.env.LOCUM_CONTROL ?? beside('locum-control');
const ANNOUNCE = process.env.LOCUM_ANNOUNCE ?? beside('examples/announce');
const TABLE = `locum_relay_${process.pid}`;

/** Addresses of the loopback that another run does not use at the same time. */
const block = 64 + (process.pid % 128);
const meshAddress = (index) => `127.${block}.${1 + (process.ppid % 250)}.${1 + index}`;

const run = (command, ...arguments_) => {
  const done = spawnSync(command, arguments_, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${command} ${arguments_.join(' ')}: ${done.error ?? done.stderr}`);
  return done.stdout.trim();
};

/** A control plane, an edge host's keys, and `count` media nodes. */
export class Network {
  nodes = [];

  /** `listen`: where the nodes do. */
  static async start(edge, count, listen = '127.0.0.1:0') {
    const network = new Network();
    network.listen = listen;
    try {
      await network.#start(edge, count);
    } catch (error) {
      await network.stop();
      throw error;
    }
    return network;
  }

  async #start(edge, count) {
    this.dir = await mkdtemp(join(tmpdir(), 'locum-relay-'));
    run('nft', `table inet ${TABLE} {
      set cuts { type ipv4_addr . ipv4_addr; }
      chain arriving {
        type filter hook input priority 0;
        ip saddr . ip daddr @cuts drop;
      }
    }`);
    await writeFile(join(this.dir, 'control.toml'), `
      zone = "locum.localhost"
      region = "eu-central"
      state_dir = "control"
      ready_file = "control.json"
      telemetry_listen = "127.0.0.1:0"
      mesh_listen = "127.0.0.1:0"
    `);
    this.control = spawn(CONTROL, ['--config', join(this.dir, 'control.toml')],
      { stdio: ['ignore', 'ignore', 'ignore'] });
    const ready = await until('the control plane', async () =>
      JSON.parse(await readFile(join(this.dir, 'control.json'), 'utf8').catch(() => 'null')));
    this.mesh = ready.addresses.mesh;
    await writeFile(join(this.dir, 'keys.json'), JSON.stringify({ keys: [edge.jwk] }));
    const token = await this.#token('edge', 'edge-1');
    this.edge = spawn(ANNOUNCE, ['locum.localhost', 'eu-central', this.mesh, token,
      join(this.dir, 'edge'), join(this.dir, 'keys.json')], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(this.edge.stdout, 'data');
    for (let index = 0; index < count; index += 1) await this.add(index);
  }

  /** Waits until a node has heard of the edge host whose token this is. */
  believes(node, token) {
    const url = `http://${this.nodes[node].addresses.signal}/rtc/validate?access_token=${token}`;
    return until('the node to believe the edge host', async () => (await fetch(url)).ok);
  }

  async add(index) {
    const token = await this.#token('media', `media-${index}`);
    const node = await MediaNode.startWith(`
      mesh_listen = "${meshAddress(index)}:0"
      [control]
      address = "${this.mesh}"
      join_token_file = "${token}"
    `, { listen: this.listen });
    this.nodes[index] = node;
    return node;
  }

  /** Nothing passes between two nodes. */
  cut(one, other) {
    for (const [from, to] of [[one, other], [other, one]]) {
      run('nft', `add element inet ${TABLE} cuts { ${meshAddress(from)} . ${meshAddress(to)} }`);
    }
  }

  heal() {
    run('nft', `flush set inet ${TABLE} cuts`);
  }

  async #token(role, node) {
    const token = run(CONTROL, '--config', join(this.dir, 'control.toml'), 'join-token', '--role', role,
      '--node', node);
    await mkdir(join(this.dir, 'tokens'), { recursive: true, mode: 0o700 });
    const path = join(this.dir, 'tokens', node);
    await writeFile(path, token, { mode: 0o600 });
    return path;
  }

  async stop() {
    spawnSync('nft', ['delete', 'table', 'inet', TABLE]);
    const codes = await Promise.all(this.nodes.filter(Boolean).map((node) => node.stop()));
    this.edge?.stdin.end();
    this.control?.kill('SIGTERM');
    await rm(this.dir, { recursive: true, force: true });
    return codes;
  }
}
