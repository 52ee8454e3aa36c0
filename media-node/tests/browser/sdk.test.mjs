// Clients that are no browser in one room with one: the LiveKit SDK for Python, over both versions of signalling, and a
// bare WebRTC peer.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { Stage, events, people, seesAndHears, until } from './harness.mjs';
import { Client } from './python.mjs';

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
      client = new Client('client.py', stage.node.url, stage.edge.token('client-1', room), version);
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

  it('knows no more than the signalling of v0 and WebRTC, and receives pictures, sound and data', async () => {
    const room = randomUUID();
    const browser = await stage.joins('browser-1', room);
    client = new Client('bare.py', stage.node.url, stage.edge.token('bare-1', room));
    await client.until('pictures and sound', () => client.arrived().video > 20 && client.arrived().audio > 20);
    await browser.evaluate(() => room.localParticipant.publishData(
      new TextEncoder().encode('to you'), { reliable: true, topic: 't' }));
    await client.until('the words of the browser', () => client.has({ event: 'data', text: 'to you' }));
    await browser.evaluate(() => room.localParticipant.setCameraEnabled(false));
    const still = async () => {
      const before = client.arrived();
      await client.until('more sound', () => client.arrived().audio > before.audio + 20);
      return client.arrived().video === before.video;
    };
    await until('the camera to be off', still);
    assert.equal(await client.leave(), 0, client.errors);
    await until('the client to be gone', async () => (await people(browser)).length === 0, 5_000);
  });
});
