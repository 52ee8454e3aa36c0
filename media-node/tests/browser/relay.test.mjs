// People of one call at several nodes.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { Browsers, Edge, arriving, events, people, seesAndHears, until } from './harness.mjs';
import { Network } from './network.mjs';

describe('a call over several nodes', { timeout: 180_000 }, () => {
  let edge, network, browsers;
  const pages = [];

  before(async () => {
    edge = new Edge();
    [network, browsers] = await Promise.all([Network.start(edge, 3), Browsers.start()]);
  });

  after(async () => {
    await browsers?.stop();
    if (network) assert.deepEqual((await network.stop()).filter((code) => code !== 0), []);
  });

  afterEach(async () => {
    network.heal();
    for (const page of pages.splice(0)) {
      assert.deepEqual(page.errors, []);
      await page.context().close();
    }
  });

  async function joins(node, identity, room, options = {}) {
    const page = await browsers.page();
    pages.push(page);
    const token = edge.token(identity, room);
    await network.believes(node, token);
    await page.evaluate(
      ([url, token, options]) => call.join(url, token, options), [network.nodes[node].url, token, options]);
    await page.evaluate(() => call.publish(true, true));
    return page;
  }

  const sees = (page, count) =>
    until(`${count} others`, async () => (await people(page)).filter((p) => p.tracks.length === 2).length === count);
  const said = async (page) => (await events(page)).filter(([name]) => name === 'data').map(([, what]) => what);
  const say = (page, text) => page.evaluate((text) =>
    room.localParticipant.publishData(new TextEncoder().encode(text), { reliable: true, topic: 'chat' }), text);

  it('two people at two nodes see, hear, and write to each other', async () => {
    const room = randomUUID();
    const doctor = await joins(0, 'doctor-1', room);
    const patient = await joins(1, 'patient-1', room);
    await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
    for (let i = 0; i < 20; i += 1) await say(patient, `line ${i}`);
    await until('the last line', async () => (await said(doctor)).length === 20);
    assert.deepEqual(await said(doctor), [...Array(20).keys()].map((i) => `patient-1/chat/line ${i}`));

    await patient.evaluate(() => room.localParticipant.setCameraEnabled(false));
    await until('the mute', async () => (await people(doctor))[0].tracks.includes('camera:muted'));
    await patient.evaluate(() => room.localParticipant.setAttributes({ hand: 'up' }));
    await until('the attribute', () =>
      doctor.evaluate(() => [...room.remoteParticipants.values()][0].attributes.hand === 'up'));
    await patient.evaluate(() => room.disconnect());
    await until('the patient to be gone', async () => (await people(doctor)).length === 0);
  });

  it('three people at three nodes are in one room, and each pair of nodes carries a track once', async () => {
    const room = randomUUID();
    const all = [await joins(0, 'a', room), await joins(1, 'b', room), await joins(2, 'c', room)];
    await Promise.all(all.map((page) => sees(page, 2)));
    await Promise.all(all.map(seesAndHears));
    const fourth = await joins(2, 'd', room);
    await Promise.all([...all, fourth].map((page) => sees(page, 3)));
    await seesAndHears(fourth);
  });

  it('a cut between the nodes is over when it is healed', async () => {
    const room = randomUUID();
    const doctor = await joins(0, 'doctor-1', room);
    const patient = await joins(1, 'patient-1', room);
    await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
    network.cut(0, 1);
    const still = async () => {
      const before = await arriving(doctor);
      await new Promise((resolve) => setTimeout(resolve, 300));
      return (await arriving(doctor)).frames === before.frames;
    };
    await until('the picture to stand still', still);
    await say(patient, 'while cut');
    network.heal();
    const healed = Date.now();
    await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
    console.log(`pictures ${Date.now() - healed} ms after the cut was healed`);
    await until('what was said meanwhile', async () => (await said(doctor)).length === 1);
    assert.equal((await events(doctor)).filter(([name]) => name === 'reconnecting').length, 0);
  });

  it('a person whose node dies comes back at another and the others see them', async () => {
    const room = randomUUID();
    const doctor = await joins(0, 'doctor-1', room);
    await joins(2, 'patient-1', room);
    await seesAndHears(doctor);
    network.nodes[2].process.kill('SIGKILL');
    await network.nodes[2].exited;
    network.nodes[2] = undefined;
    const killed = Date.now();
    await joins(1, 'patient-1', room);
    await seesAndHears(doctor);
    console.log(`pictures ${Date.now() - killed} ms after the node was killed, with a new page`);
    assert.equal((await people(doctor)).length, 1);
  });
});
