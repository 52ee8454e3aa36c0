// Two browsers in one room, through a real node.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { Stage, arriving, events, happened, people, seesAndHears, until } from './harness.mjs';



describe('a call between two browsers', { timeout: 180_000 }, () => {
  const stage = new Stage();
  const joins = (...who) => stage.joins(...who);
  const twoInACall = (options) => stage.twoInACall(options);
  let edge, node;

  before(async () => {
    await stage.start();
    ({ edge, node } = stage);
  });

  after(() => stage.stop());
  afterEach(() => stage.clear());

  it('shows both moving pictures and sound, and tells neither a name', async () => {
    const { doctor, patient } = await twoInACall();
    console.log(`connect: ${doctor.connectMs.toFixed(0)} ms, ${patient.connectMs.toFixed(0)} ms`);
    assert.deepEqual(await people(doctor), [
      { identity: 'patient-1', name: '', tracks: ['camera', 'microphone'] },
    ]);
    await until('packets to be counted', async () => (await node.metric('locum_media_packets_forwarded_total')) > 0);
    assert.ok(!node.log.includes('A Name'), 'no name in the log');
    assert.ok(!node.log.includes('access_token') && !node.log.includes('eyJ'), 'no token in the log');
    assert.ok(!node.log.includes('candidate'), 'no session description in the log');
  });

  it('tells when the other mutes, and pictures come back after', async () => {
    const { doctor, patient } = await twoInACall();
    await patient.evaluate(() => room.localParticipant.setCameraEnabled(false));
    const camera = async () => (await people(doctor))[0].tracks[0];
    await until('the mute to be seen', async () => (await camera()) === 'camera:muted');
    await patient.evaluate(() => room.localParticipant.setCameraEnabled(true));
    await until('the unmute to be seen', async () => (await camera()) === 'camera');
    await seesAndHears(doctor);
  });

  it('lets a moderator close a microphone, which its owner opens again', async () => {
    const { doctor, patient } = await twoInACall({ grants: { roomAdmin: true } });
    const microphone = async () => (await people(doctor))[0].tracks[1];
    await doctor.evaluate(() => {
      const [other] = room.remoteParticipants.values();
      room.engine.client.sendMuteTrack(other.getTrackPublication('microphone').trackSid, true);
    });
    await until('the patient to know', () => patient.evaluate(() => !room.localParticipant.isMicrophoneEnabled));
    await until('the doctor to know', async () => (await microphone()) === 'microphone:muted');
    await patient.evaluate(() => room.localParticipant.setMicrophoneEnabled(true));
    await until('the microphone to be open', async () => (await microphone()) === 'microphone');
    await seesAndHears(doctor);
  });

  it('tells when the other leaves, at once', async () => {
    const { doctor, patient } = await twoInACall();
    await patient.evaluate(() => room.disconnect());
    await until('the other to be gone', async () => (await people(doctor)).length === 0, 2_000);
  });

  it('takes a reloaded page back in, and sections are used again', async () => {
    const { room, doctor, patient } = await twoInACall();
    for (let i = 0; i < 3; i += 1) {
      await patient.reload();
      await patient.waitForFunction(() => window.call);
      const token = edge.token('patient-1', room);
      await patient.evaluate(([url, token]) => call.join(url, token), [node.url, token]);
      await patient.evaluate(() => call.publish(true, true));
      await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
      assert.equal((await people(doctor)).length, 1);
    }
  });

  it('publishes again after unpublishing', async () => {
    const { doctor, patient } = await twoInACall();
    for (let i = 0; i < 2; i += 1) {
      await patient.evaluate(async () => {
        for (const publication of [...room.localParticipant.trackPublications.values()]) {
          await room.localParticipant.unpublishTrack(publication.track);
        }
      });
      await until('the tracks to be gone', async () => (await people(doctor))[0].tracks.length === 0);
      await patient.evaluate(() => call.publish(true, true));
      await seesAndHears(doctor);
    }
  });

  it('carries data with the true sender, and to whom it is meant', async () => {
    const { room, doctor, patient } = await twoInACall();
    const third = await joins('nurse-1', room, { publish: false });
    await patient.evaluate(() =>
      room.localParticipant.publishData(new TextEncoder().encode('all'), { reliable: true, topic: 't' }));
    await patient.evaluate(() =>
      room.localParticipant.publishData(new TextEncoder().encode('one'), {
        reliable: true, topic: 't', destinationIdentities: ['nurse-1'],
      }));
    const heard = async (page) =>
      (await events(page)).filter(([name]) => name === 'data').map(([, what]) => what);
    await until('both messages', async () => (await heard(third)).length === 2);
    assert.deepEqual(await heard(third), ['patient-1/t/all', 'patient-1/t/one']);
    assert.deepEqual(await heard(doctor), ['patient-1/t/all']);
  });

  it('resumes after the socket is lost, without losing pictures', async () => {
    const { doctor, patient } = await twoInACall();
    await patient.evaluate(() => room.simulateScenario('signal-reconnect'));
    await until('the resume', () => happened(patient, 'reconnected'));
    await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
    assert.ok(!(await happened(doctor, 'participantDisconnected')));
  });

  it('reconnects fully', async () => {
    const { doctor, patient } = await twoInACall();
    await patient.evaluate(() => room.simulateScenario('full-reconnect'));
    await until('the reconnect', () => happened(patient, 'reconnected'));
    await Promise.all([seesAndHears(doctor), seesAndHears(patient)]);
  });

  it('gets the best layer of a simulcast publisher', async () => {
    const { doctor, patient } = await twoInACall({ simulcast: true });
    const sent = async () => (await patient.evaluate(() => call.details())).filter((stat) => stat.out === 'video');
    await until('all layers to be sent', async () => (await sent()).every((stat) => stat.packetsSent > 0));
    assert.ok((await sent()).length > 1, 'it offered several');
    await until('the best to arrive', async () => (await doctor.evaluate(() => call.picture())).height === 360);
  });

  it('carries what it cannot read', async () => {
    const { room, doctor } = await twoInACall({ key: 'known to the two' });
    const encrypted = () => [...room.remoteParticipants.values()].every((other) => other.isEncrypted);
    assert.ok(await doctor.evaluate(encrypted));
    const stranger = await joins('stranger', room, { key: 'a guess', publish: false });
    await until('packets to arrive', async () => (await arriving(stranger)).packets > 100);
    assert.equal((await arriving(stranger)).frames, 0, 'nothing to see without the key');
  });

  it('stops and starts a track as the viewer asks', async () => {
    const { doctor } = await twoInACall();
    const camera = (act) => doctor.evaluate((act) => {
      const [other] = room.remoteParticipants.values();
      return other.getTrackPublication('camera')[act.method](act.value);
    }, act);
    const frames = async () => (await arriving(doctor)).frames;
    await camera({ method: 'setEnabled', value: false });
    await until('pictures to stop', async () => {
      const before = await frames();
      await new Promise((resolve) => setTimeout(resolve, 500));
      return (await frames()) === before;
    });
    await camera({ method: 'setEnabled', value: true });
    await seesAndHears(doctor);
    await camera({ method: 'setSubscribed', value: false });
    await until('the track to be gone', () => happened(doctor, 'trackUnsubscribed'));
    await camera({ method: 'setSubscribed', value: true });
    await seesAndHears(doctor);
  });

  it('enforces grants', async () => {
    const room = randomUUID();
    const deaf = await joins('deaf', room, { grants: { canSubscribe: false } });
    const speaker = await joins('speaker', room);
    const watcher = await joins('watcher', room, { publish: false, grants: { canPublish: false } });
    await Promise.all([seesAndHears(speaker), seesAndHears(watcher)]);
    const refused = await watcher.evaluate(() =>
      room.localParticipant.setCameraEnabled(true).then(() => 'published', (error) => error.message));
    assert.notEqual(refused, 'published');
    assert.equal((await arriving(deaf)).packets, 0);
  });
});
