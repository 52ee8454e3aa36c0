// Signalling v0, with two peer connections: what the mobile SDKs speak.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { Stage, events, happened, people, seesAndHears, until } from './harness.mjs';

describe('signalling v0', { timeout: 120_000 }, () => {
  const stage = new Stage();
  before(() => stage.start());
  after(() => stage.stop());
  afterEach(() => stage.clear());

  it('meets v1, whoever comes first, and somebody who comes later', async () => {
    const room = randomUUID();
    const doctor = await stage.joins('doctor-1', room);
    const patient = await stage.joins('patient-1', room, { v0: true });
    await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
    const nurse = await stage.joins('nurse-1', room, { v0: true });
    await Promise.all([doctor, patient, nurse].map(seesAndHears));
    const pictures = (await patient.evaluate(() => call.arriving())).picture.split(' ');
    assert.equal(pictures.length, 2);
    await until('three to be counted', async () => (await stage.node.metric('locum_media_sessions')) === 3);
    await nurse.evaluate(() => room.disconnect());
    await until('the nurse to be gone', async () => (await people(patient)).length === 1, 5_000);
    await seesAndHears(patient);
  });

  it('publishes again, and stops and starts what it receives', async () => {
    const { doctor, patient } = await stage.twoInACall({ v0: true });
    await patient.evaluate(async () => {
      for (const publication of [...room.localParticipant.trackPublications.values()]) {
        await room.localParticipant.unpublishTrack(publication.track);
      }
    });
    await until('the tracks to be gone', async () => (await people(doctor))[0].tracks.length === 0);
    await patient.evaluate(() => call.publish(true, true));
    await seesAndHears(doctor);
    const subscribe = (wanted) => doctor.evaluate((wanted) => {
      const [other] = room.remoteParticipants.values();
      for (const publication of other.trackPublications.values()) publication.setSubscribed(wanted);
    }, wanted);
    await doctor.evaluate(() => { call.events.length = 0; });
    await subscribe(false);
    const ended = async () => (await events(doctor)).filter(([name]) => name === 'trackUnsubscribed').length;
    await until('both tracks to be gone', async () => (await ended()) === 2);
    await subscribe(true);
    await seesAndHears(doctor);
  });

  it('carries data both ways', async () => {
    const { doctor, patient } = await stage.twoInACall({ v0: true });
    for (const [from, to, name] of [[doctor, patient, 'doctor-1'], [patient, doctor, 'patient-1']]) {
      await from.evaluate(() => room.localParticipant.publishData(
        new TextEncoder().encode('hello'), { reliable: true, topic: 't' }));
      const heard = async () => (await events(to)).some(([, what]) => what === `${name}/t/hello`);
      await until(`the words of ${name}`, heard);
    }
  });

  it('resumes, and reconnects fully', async () => {
    const { doctor, patient } = await stage.twoInACall({ v0: true });
    for (const scenario of ['signal-reconnect', 'full-reconnect']) {
      await patient.evaluate((scenario) => {
        call.events.length = 0;
        return room.simulateScenario(scenario);
      }, scenario);
      await until(scenario, () => happened(patient, 'reconnected'));
      await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
      const left = await happened(doctor, 'participantDisconnected');
      assert.equal(left, scenario === 'full-reconnect', scenario);
    }
  });
});
