// A call by the one TCP port that a firewall leaves open.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Browsers, CHROMIUM, Edge, MediaNode, seesAndHears, until, way } from './harness.mjs';
import { NODE_ADDRESS, Place, alone } from './namespace.mjs';

if (await alone(import.meta.url)) describe('behind a firewall', { timeout: 120_000 }, () => {
  let edge, node, place, browsers;

  before(async () => {
    edge = new Edge();
    place = await Place.open(CHROMIUM);
    place.link();
    node = await MediaNode.start(edge, { listen: `${NODE_ADDRESS}:0` });
    browsers = await Browsers.start(NODE_ADDRESS, place.chromium);
  });

  after(async () => {
    await browsers?.stop();
    await place?.close();
    if (node) assert.equal(await node.stop(), 0);
  });

  it('a call completes by TCP, and goes by UDP where that gets through', async () => {
    const port = Number(node.addresses.signal.split(':').pop());
    const only = (allowed) => place.rules(`add table inet wall;
      add chain inet wall out { type filter hook output priority 0; policy drop; };
      add rule inet wall out oif lo accept; ${allowed}`);
    const pages = new URL(browsers.origin).port;
    only(`add rule inet wall out tcp dport { ${port}, ${pages} } accept;`);
    const room = randomUUID();
    const join = async (identity) => {
      const page = await browsers.page();
      const token = edge.token(identity, room);
      page.connectMs = await page.evaluate(([url, token]) => call.join(url, token), [node.url, token]);
      await page.evaluate(() => call.publish(true, true));
      return page;
    };
    const [doctor, patient] = [await join('doctor-1'), await join('patient-1')];
    await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
    console.log(`connect by TCP: ${doctor.connectMs.toFixed(0)} ms, ${patient.connectMs.toFixed(0)} ms`);
    for (const page of [doctor, patient]) {
      const { protocol, to, port: used } = await way(page);
      assert.deepEqual([protocol, to, used], ['tcp', NODE_ADDRESS, port]);
    }
    await until('both to be counted', async () => (await node.metric('locum_media_streams')) === 2);
    assert.equal(await node.metric('locum_media_datagrams_not_sent_total'), 0, 'nothing was too much');

    place.rules('');
    const nurse = await join('nurse-1');
    await seesAndHears(nurse);
    assert.equal((await way(nurse)).protocol, 'udp');
  });
});
