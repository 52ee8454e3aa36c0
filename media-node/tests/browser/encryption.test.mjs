// The web client's encryption through a real node.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Clinic } from './clinic.mjs';
import { Browsers, Edge, MediaNode, until } from './harness.mjs';

const arriving = (page) => page.evaluate(() => call.arriving());
const shown = (page) => page.evaluate(() => call.shown());

/** Waits until pictures and sound are decoded, both grown since now. */
async function seesAndHears(page, who) {
  const before = await arriving(page);
  return until(`${who} to see and hear`, async () => {
    const now = await arriving(page);
    return now.frames > before.frames + 10 && now.energy > before.energy + 1e-4;
  });
}

/** The digits, once the lock is closed. */
async function digits(page, who) {
  return until(`the lock of ${who} to close`, async () => {
    const { privacy, code } = await shown(page);
    return privacy === 'private' && code;
  });
}

/** What the page shows of each of the others who were decoded at all: 16 by 9 points, red, green and blue. */
const pictures = (page) => page.evaluate(() => [...document.querySelectorAll('video')]
  .filter((video) => video.videoWidth > 0)
  .map((video) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 16, height: 9 });
    const brush = canvas.getContext('2d');
    brush.drawImage(video, 0, 0, 16, 9);
    return [...brush.getImageData(0, 0, 16, 9).data].filter((_, index) => index % 4 < 3);
  }));

/** Of two pictures, for each point and colour, 0 to 255. */
function difference(one, other) {
  return one.reduce((sum, value, index) => sum + Math.abs(value - other[index]), 0) / one.length;
}

describe('a private call', { timeout: 180_000 }, () => {
  let edge, node, browsers, clinic, ana, ben;

  before(async () => {
    edge = new Edge();
    [node, browsers] = await Promise.all([MediaNode.start(edge), Browsers.start()]);
    clinic = await Clinic.open(edge, node);
    ana = await joins('ana');
    ben = await joins('ben');
  });

  after(async () => {
    await browsers?.stop();
    await clinic?.close();
    if (node) assert.equal(await node.stop(), 0, 'the node ends cleanly');
  });

  async function enters(page, who) {
    await page.goto(`${clinic.origin}/private.html`);
    await page.waitForFunction(() => window.call);
    await page.evaluate((who) => call.begin(who), who);
  }

  async function joins(who) {
    const page = await browsers.page();
    await enters(page, who);
    return page;
  }

  it('shows and tells both the same: pictures, sound, a closed lock, sixty digits', async () => {
    await Promise.all([seesAndHears(ana, 'ana'), seesAndHears(ben, 'ben')]);
    const code = await digits(ana, 'ana');
    assert.match(code, /^(\d{5} ){11}\d{5}$/);
    assert.equal(await digits(ben, 'ben'), code);
  });

  it('passes on what was sealed, once, and nothing in the clear', async () => {
    await ben.evaluate(() => call.sayInTheClear('forged'));
    await ben.evaluate(() => call.say('hello'));
    await until('the message to arrive', async () => (await ana.evaluate(() => call.messages())).length > 0);
    assert.deepEqual(await ana.evaluate(() => call.messages()), ['ben/chat/hello']);
  });

  it('goes on encrypted when the node says that somebody’s tracks are not', async () => {
    await ana.evaluate(() => call.callClear('ben'));
    await seesAndHears(ana, 'ana');
  });

  it('keeps its keys over a reload and a full reconnect', async () => {
    const [code, generation] = [await digits(ana, 'ana'), clinic.generation];
    await enters(ben, 'ben');
    await Promise.all([seesAndHears(ana, 'ana'), seesAndHears(ben, 'ben')]);
    await ana.evaluate(() => call.simulate('full-reconnect'));
    await Promise.all([seesAndHears(ana, 'ana'), seesAndHears(ben, 'ben')]);
    assert.deepEqual([await digits(ana, 'ana'), await digits(ben, 'ben')], [code, code]);
    assert.equal(clinic.generation, generation);
  });

  it('shows nothing new to who left, though the node still sends it', async () => {
    const cleo = await joins('cleo');
    await seesAndHears(cleo, 'cleo');
    const together = await digits(ana, 'ana');
    await cleo.evaluate(() => call.leave());
    // Her connection stays: the others learn of it from the clinic, as they do every half minute, or sooner from one another.
    await enters(ben, 'ben');
    await until('the digits to change', async () => ![null, together].includes((await shown(ana)).code));
    await seesAndHears(ana, 'ana');
    const still = await until('the old keys to be out of use', async () => {
      const [before] = [await arriving(cleo), await seesAndHears(ana, 'ana')];
      const now = await arriving(cleo);
      return now.frames === before.frames && now;
    });
    await seesAndHears(ana, 'ana');
    const later = await arriving(cleo);
    assert.ok(later.packets > still.packets, 'the node sends her nothing any more');
    assert.equal(later.frames, still.frames);
    await cleo.context().close();
    await Promise.all([digits(ana, 'ana'), digits(ben, 'ben')]);
  });

  for (const [who, options] of [['no key at all', {}], ['another key', { key: 'another key' }]]) {
    it(`opens to nobody who has ${who}, though the node forwards everything to them`, async () => {
      const eve = await browsers.page();
      const token = edge.token('eve', clinic.room);
      await eve.evaluate(([url, token, options]) => call.join(url, token, options), [node.url, token, options]);
      await until('frames of both', async () => (await arriving(eve)).packets > 600, 30_000);
      await Promise.all([seesAndHears(ana, 'ana'), seesAndHears(ben, 'ben')]);
      const [heard, seen] = [await arriving(eve), await pictures(eve)];
      if (options.key) assert.deepEqual([heard.frames, heard.energy], [0, 0]);
      // Without the SDK's worker a decoder is given what was forwarded. It takes it for noise now and then.
      assert.ok(heard.frames < heard.packets / 20, `${heard.frames} frames of ${heard.packets} packets`);
      const [theirs] = await pictures(ana);
      assert.ok(difference(theirs, (await pictures(ben))[0]) < 20, 'cameras of this test show much the same');
      for (const picture of seen) assert.ok(difference(theirs, picture) > 40, 'somebody can be recognised');
      assert.notEqual((await shown(ana)).privacy, 'private', 'a stranger in the room is no secret');
      await eve.evaluate(() => room.disconnect());
      await eve.context().close();
      await Promise.all([digits(ana, 'ana'), digits(ben, 'ben')]);
    });
  }

  it('broke nothing on the pages', () => {
    assert.deepEqual([...ana.errors, ...ben.errors], []);
  });
});
