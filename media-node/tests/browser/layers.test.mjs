// A camera with three layers, and a viewer whose line changes.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Browsers, CHROMIUM, Edge, MediaNode, arriving, events, until } from './harness.mjs';
import { alone, Cable, NODE_ADDRESS } from './namespace.mjs';

if (await alone(import.meta.url)) {
  describe('layers', { timeout: 150_000 }, () => {
    let edge, node, near, far, cable, doctor, patient;

    before(async () => {
      edge = new Edge();
      cable = await Cable.lay(CHROMIUM);
      [node, near, far] = await Promise.all([
        MediaNode.start(edge, { listen: `${NODE_ADDRESS}:0` }),
        Browsers.start(NODE_ADDRESS),
        Browsers.start(NODE_ADDRESS, cable.chromium),
      ]);
      const room = randomUUID();
      [doctor, patient] = await Promise.all([near.page(), far.page()]);
      await joins(doctor, 'doctor-1', room, { simulcast: true });
      await doctor.evaluate(() => call.publish(true, true, { width: 1280, height: 720 }, call.thrifty));
      await joins(patient, 'patient-1', room, {});
    });

    after(async () => {
      await near?.stop();
      await far?.stop();
      if (node) assert.equal(await node.stop(), 0, 'the node ends cleanly');
      await cable?.cut();
    });

    const joins = (page, identity, room, options) => page.evaluate(
      ([url, token, options]) => call.join(url, token, options), [node.url, edge.token(identity, room), options]);

    /** Waits until pictures of this height are decoded, twice in a row. Returns how long it took. */
    async function sees(height, what, deadlineMs = 30_000) {
      const started = Date.now();
      const seen = [{}];
      await until(`${what}: pictures ${height} high`, async () => {
        const before = seen.at(-1);
        const now = await patient.evaluate(() => call.picture());
        if (now.frames === before.frames) return false;
        seen.push(now);
        return now.height === height && before.height === height;
      }, deadlineMs).catch(async (error) => {
        const sent = await doctor.evaluate(() => call.details());
        const lines = [...seen.slice(-5), ...sent, ...(await events(patient))];
        throw new Error([error.message, ...lines.map((line) => JSON.stringify(line))].join('\n'));
      });
      return Date.now() - started;
    }

    it('sends as much picture as the line carries, and sound always', async () => {
      const took = {};
      took.best = await sees(720, 'a good line', 60_000);
      await cable.carries(450);
      took.down = await sees(360, '450 kbit/s');
      await cable.carries(200);
      took.smallest = await sees(180, '200 kbit/s');
      await cable.carries(70);
      await until('the picture to be paused', async () =>
        (await events(patient)).some(([name, what]) => name === 'streamState' && what === 'paused'), 30_000);
      const silent = await arriving(patient);
      await until('sound alone', async () => (await arriving(patient)).energy > silent.energy + 1e-4);
      await cable.carries(null);
      took.up = await sees(720, 'a good line again');
      console.log(`ms until the right layer: ${JSON.stringify(took)}`);
    });

    it('sends no more than the viewer has use for, and the camera stops what nobody wants', async () => {
      const camera = (act) => patient.evaluate((quality) => {
        const [other] = room.remoteParticipants.values();
        other.getTrackPublication('camera').setVideoQuality(quality);
      }, act);
      await camera(0);
      await sees(180, 'the smallest asked for');
      const active = async () => {
        const sent = (await doctor.evaluate(() => call.details())).filter((stat) => stat.out === 'video');
        return sent.filter((stat) => stat.active).map((stat) => stat.rid).join();
      };
      await until('the camera to stop the larger layers', async () => (await active()) === 'q');
      await camera(2);
      await sees(720, 'the largest asked for');
    });
  });
}
