// Lines as patients have them: addresses that change, and little room.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { Clinic } from './clinic.mjs';
import { Browsers, CHROMIUM, Edge, MediaNode, arriving, events, seesAndHears, until, way } from './harness.mjs';
import { NODE_ADDRESS, Place, alone, now } from './namespace.mjs';

/** Waits until pictures and sound grow, whatever room the page is in by then. */
async function goesOn(page) {
  let from = await arriving(page);
  await until('pictures and sound', async () => {
    const now = await arriving(page);
    if (now.frames < from.frames || now.energy < from.energy) from = now;
    return now.frames > from.frames + 10 && now.energy > from.energy + 1e-4;
  }, 40_000);
}

if (await alone(import.meta.url)) describe('on a poor line', { timeout: 180_000 }, () => {
  let edge, node, clinic, place, home, far, near, link;
  const pages = [];

  before(async () => {
    edge = new Edge();
    place = await Place.open(CHROMIUM);
    link = place.link();
    // The doctor's own line: nothing happens to it.
    home = await Place.open(CHROMIUM, 1);
    home.link();
    node = await MediaNode.start(edge, { listen: `${NODE_ADDRESS}:0` });
    clinic = await Clinic.open(edge, node, NODE_ADDRESS);
    [far, near] = await Promise.all([place.chromium, home.chromium].map(
      (program) => Browsers.start(NODE_ADDRESS, program, [clinic.origin])));
  });

  afterEach(async () => {
    for (const page of pages.splice(0)) await page.context().close();
    place.rules('');
    await until('the node to be empty', async () => (await node.metric('locum_media_sessions')) === 0, 40_000);
  });

  after(async () => {
    await Promise.all([far?.stop(), near?.stop()]);
    await clinic?.close();
    await Promise.all([place?.close(), home?.close()]);
    if (node) assert.equal(await node.stop(), 0);
  });

  /** A patient at the far end of the line, a doctor whose line is good. */
  async function twoInACall() {
    const room = randomUUID();
    const join = async (browsers, identity) => {
      const page = await browsers.page();
      pages.push(page);
      await page.evaluate(([url, token]) => call.join(url, token), [node.url, edge.token(identity, room)]);
      await page.evaluate(() => call.publish(true, true));
      return page;
    };
    const both = [await join(far, 'patient-1'), await join(near, 'doctor-1')];
    await Promise.all(both.map(seesAndHears));
    return both;
  }

  /** Longest time without a new picture at each page, in ms, from `change` until all move and sound again. */
  async function stood(pages, change, again = seesAndHears) {
    await Promise.all(pages.map((page) => page.evaluate(() => {
      window.stood = { since: performance.now(), longest: 0, decoded: -1 };
      const look = async () => {
        const [{ frames }, now] = [await call.arriving(), performance.now()];
        stood.longest = Math.max(stood.longest, now - stood.since);
        // In another room it is counted anew.
        if (frames > 0 && frames !== stood.decoded) [stood.since, stood.decoded] = [now, frames];
        window.looking = setTimeout(look, 20);
      };
      return look();
    })));
    change();
    // Somebody has to have noticed before all see again.
    const longest = (page) => page.evaluate(() => stood.longest);
    await until('somebody to notice', async () => Math.max(...await Promise.all(pages.map(longest))) > 300);
    await Promise.all(pages.map(again));
    return Promise.all(pages.map(async (page) => Math.round(await longest(page))));
  }

  it('packets follow a client whose address is another behind its NAT', async () => {
    const [patient, doctor] = await twoInACall();
    now('ip', 'route', 'add', `${link.net}.3`, 'via', `${link.net}.2`, 'dev', link.near);
    // For UDP alone and without state: from one packet to the next the node sees another client, and what it sends to
    // the one before arrives nowhere.
    const gaps = await stood([patient, doctor], () => place.rules(`add table ip nat;
      add chain ip nat out { type filter hook output priority 300; };
      add chain ip nat in { type filter hook prerouting priority -350; };
      add rule ip nat out ip protocol udp ip saddr ${link.net}.2 ip saddr set ${link.net}.3;
      add rule ip nat in ip protocol udp ip daddr ${link.net}.2 drop;
      add rule ip nat in ip protocol udp ip daddr ${link.net}.3 ip daddr set ${link.net}.2;`));
    console.log(`another address behind a NAT: pictures stood ${gaps[0]} ms at the patient, ${gaps[1]} at the doctor`);
  });

  it('packets follow a client to another network', async () => {
    const [patient, doctor] = await twoInACall();
    const before = await patient.evaluate(() => performance.now());
    const gaps = await stood([patient, doctor], () => {
      const old = link;
      link = place.link();
      place.unlink(old);
    });
    const since = (await events(patient)).filter(([, , at]) => at > before);
    console.log(`another network: pictures stood ${gaps[0]} ms at the patient, ${gaps[1]} at the doctor;`,
      since.map(([name, , at]) => `${name} ${Math.round(at - before)} ms`).join(', '));
    assert.equal((await way(patient)).from, `${link.net}.2`);
  });

  it('the web client is back from another network without being told to', async () => {
    const join = async (browsers, who) => {
      const page = await browsers.page();
      pages.push(page);
      await page.goto(`${clinic.origin}/private.html`);
      await page.waitForFunction(() => window.call);
      await page.evaluate((who) => call.begin(who, true), who);
      return page;
    };
    const both = [await join(far, 'ana'), await join(near, 'ben')];
    await Promise.all(both.map(goesOn));
    const codes = () => Promise.all(both.map((page) => page.evaluate(() => call.shown().code)));
    const before = await codes();
    const at = await both[0].evaluate(() => performance.now());
    const gaps = await stood(both, () => {
      const old = link;
      link = place.link();
      place.unlink(old);
    }, goesOn);
    const since = (await both[0].evaluate(() => call.phases())).filter(([, , ms]) => ms > at);
    console.log(`another network, web client: pictures stood ${gaps[0]} ms at the patient, ${gaps[1]} at the doctor;`,
      since.map(([phase, , ms]) => `${phase} ${Math.round(ms - at)} ms`).join(', '));
    assert.deepEqual(await codes(), before, 'no key is changed');
    assert.ok(since.some(([phase]) => phase === 'connected'), 'it was the client that came back');
    assert.ok(Math.max(...gaps) < 12_000, 'sooner than an SDK by itself, by a lot');
  });

  it('sound gets through 150 kbit/s with a tenth of all packets lost', async () => {
    const [patient, doctor] = await twoInACall();
    const narrow = ['root', 'tbf', 'rate', '150kbit', 'burst', '3000', 'latency', '400ms'];
    const lose = 'numgen random mod 10 == 0 drop';
    now('tc', 'qdisc', 'add', 'dev', link.near, ...narrow);
    place.run('tc', 'qdisc', 'add', 'dev', link.far, ...narrow);
    place.rules(`add table inet lossy;
      add chain inet lossy in { type filter hook input priority 0; };
      add chain inet lossy out { type filter hook output priority 0; };
      add rule inet lossy in meta l4proto udp ${lose}; add rule inet lossy out meta l4proto udp ${lose};`);
    const sound = (page) => page.evaluate(() => call.sound());
    const played = async (page, seconds) => {
      const before = await sound(page);
      const wanted = before.samples + seconds * 48_000;
      await until('sound to be played', async () => (await sound(page)).samples >= wanted, 60_000);
      const after = await sound(page);
      const [received, lost, samples, concealed, silent] =
        ['received', 'lost', 'samples', 'concealed', 'silent'].map((name) => after[name] - before[name]);
      return { delivered: received / (received + lost), concealed: concealed / samples, silent: silent / samples };
    };
    // The first seconds are those in which senders notice.
    await Promise.all([played(patient, 8), played(doctor, 8)]);
    const [toPatient, toDoctor] = await Promise.all([played(patient, 15), played(doctor, 15)]);
    const percent = (share) => `${(100 * share).toFixed(1)} %`;
    for (const [to, { delivered, concealed, silent }] of Object.entries({ toPatient, toDoctor })) {
      console.log(`150 kbit/s, 10 % loss, ${to}: ${percent(delivered)} of packets delivered, ${percent(concealed)} of `
        + `samples concealed, ${percent(silent)} by silence: ${percent(1 - silent)} delivered or concealed`);
    }
    assert.ok(toPatient.delivered > 0.5 && toDoctor.delivered > 0.5, 'sound gets through at all');

    now('tc', 'qdisc', 'del', 'dev', link.near, 'root');
    place.run('tc', 'qdisc', 'del', 'dev', link.far, 'root');
    place.rules('');
    const freed = Date.now();
    await Promise.all([seesAndHears(patient), seesAndHears(doctor)]);
    console.log(`pictures moved again ${Date.now() - freed} ms after`);
  });
});
