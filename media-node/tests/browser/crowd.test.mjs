// Rooms of three and of eight over one, two and three nodes, with clients of every make.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { Firefox } from './firefox.mjs';
import { Browsers, Edge, events, seesAndHears, until } from './harness.mjs';
import { NODE_ADDRESS, alone, wire } from './namespace.mjs';
import { Network } from './network.mjs';
import { Client } from './python.mjs';

/** Packets, or frames, of each kind that count as received. */
const ENOUGH = 10;

/** Runs in a page: what arrived from whom, in the room of the page or in one of its crowd. */
async function arrived(name) {
  const from = {};
  for (const { identity, trackPublications } of (name ? crowd[name].room : room).remoteParticipants.values()) {
    from[identity] = { video: 0, audio: 0 };
    for (const { track } of trackPublications.values()) {
      for (const stat of (await track?.getRTCStatsReport())?.values() ?? []) {
        if (stat.type === 'inbound-rtp') from[identity][stat.kind] += stat.packetsReceived;
      }
    }
  }
  return from;
}

/** Runs in a page: one more person, whose pictures are small. */
async function enter([name, url, token]) {
  const room = new LivekitClient.Room({
    adaptiveStream: false, singlePeerConnection: true, publishDefaults: { simulcast: false, backupCodec: false },
  });
  window.crowd = { ...window.crowd, [name]: { room, said: [] } };
  room.on('dataReceived', (bytes, from) => crowd[name].said.push(`${from?.identity}: ${new TextDecoder().decode(bytes)}`));
  await room.connect(url, token);
  await room.localParticipant.setCameraEnabled(true, { resolution: { width: 160, height: 90, frameRate: 8 } });
  await room.localParticipant.setMicrophoneEnabled(true);
}

/** Somebody in a page: the page's own person, or one of its crowd. */
const inPage = (page, name, isOfCrowd) => ({
  name,
  arrived: () => page.evaluate(arrived, isOfCrowd ? name : null),
  said: async () => {
    if (isOfCrowd) return page.evaluate((name) => crowd[name].said, name);
    const data = (await events(page)).filter(([event]) => event === 'data');
    return data.map(([, text]) => text.replace(/\/.*\//, ': '));
  },
  say: (text) => page.evaluate(([name, text]) => (name ? crowd[name].room : room).localParticipant.publishData(
    new TextEncoder().encode(text), { reliable: true, topic: 't' }), [isOfCrowd ? name : null, text]),
});

const inPython = (client, name) => ({
  name,
  arrived: () => client.arrived().from,
  // It says hello by itself, to whoever is there by then.
  said: () => client.lines.filter(({ event, text }) => event === 'data' && text !== 'hello')
    .map(({ who, text }) => `${who}: ${text}`),
  say: (text) => client.say(text),
});

/** Everybody receives everybody's pictures and sound, and reads once what each of them says. */
async function areOneRoom(members) {
  const others = (me) => members.filter((other) => other !== me).map(({ name }) => name).sort();
  await Promise.all(members.map((me) => until(`${me.name} to receive all of the others`, async () => {
    const from = await me.arrived();
    const enough = (who) => from[who]?.video >= ENOUGH && from[who]?.audio >= ENOUGH;
    return others(me).every(enough);
  }, 60_000).catch(async (error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await me.arrived())}`);
  })));
  await Promise.all(members.map((me) => me.say(`I am ${me.name}`)));
  const said = async (me) => (await me.said()).filter((text) => text.includes('I am')).sort();
  for (const me of members) {
    await until(`${me.name} to read all`, async () => (await said(me)).length >= members.length - 1, 30_000);
    assert.deepEqual(await said(me), others(me).map((name) => `${name}: I am ${name}`));
  }
}

if (await alone(import.meta.url)) describe('a room of clients of every make', { timeout: 300_000 }, () => {
  let edge, network, browsers, firefox;
  const [pages, clients] = [[], []];

  before(async () => {
    edge = new Edge();
    // Firefox does without the loopback.
    wire();
    [network, browsers, firefox] = await Promise.all(
      [Network.start(edge, 3, `${NODE_ADDRESS}:0`), Browsers.start(), Firefox.start()]);
    for (const node of network.nodes.keys()) await network.believes(node, edge.token('nobody', randomUUID()));
  });

  after(async () => {
    await Promise.allSettled([browsers?.stop(), firefox?.stop()]);
    if (network) assert.deepEqual((await network.stop()).filter((code) => code !== 0), []);
  });

  afterEach(async () => {
    for (const client of clients.splice(0)) client.kill();
    for (const page of pages.splice(0)) await page.context().close();
  });

  const chromium = async () => {
    const page = await browsers.page();
    pages.push(page);
    return page;
  };
  const python = async (name, node, room, version) => {
    const client = new Client('client.py', network.nodes[node].url, edge.token(name, room), version);
    clients.push(client);
    await client.until(`${name} to publish`, () => client.has({ event: 'published' }));
    return inPython(client, name);
  };

  for (const [nodes, version] of [[1, 'v1'], [2, 'v0'], [3, 'v1']]) {
    it(`three people at ${nodes} of the nodes, over ${version}: Chromium, Firefox, Python`, async () => {
      const room = randomUUID();
      const joins = async (page, name, node) => {
        const join = [network.nodes[node].url, edge.token(name, room), { v0: version === 'v0' }];
        await page.evaluate(([url, token, options]) => call.join(url, token, options), join);
        await page.evaluate(() => call.publish(true, true));
        return inPage(page, name);
      };
      pages.push(firefox);
      await firefox.goto(browsers.origin);
      const page = await chromium();
      const members = [
        await joins(page, 'chromium', 0),
        await joins(firefox, 'firefox', 1 % nodes),
        await python('python', 2 % nodes, room, version),
      ];
      await areOneRoom(members);
      await Promise.all([seesAndHears(page), seesAndHears(firefox)]);
    });
  }

  for (const nodes of [1, 2, 3]) {
    it(`eight people at ${nodes} of the nodes`, async () => {
      const [room, page] = [randomUUID(), await chromium()];
      const members = [];
      for (const index of Array(6).keys()) {
        const name = `person-${index}`;
        await page.evaluate(enter, [name, network.nodes[index % nodes].url, edge.token(name, room)]);
        members.push(inPage(page, name, true));
      }
      members.push(...await Promise.all([
        python('person-6', 6 % nodes, room, 'v1'), python('person-7', 7 % nodes, room, 'v0'),
      ]));
      await areOneRoom(members);
    });
  }
});
