import { expect, test } from 'vitest'
import { between, type Entry, sum } from './quality'
import { readRoundTrip } from './useLines'

const PAIR: Entry = { type: 'candidate-pair', nominated: true, currentRoundTripTime: 0.0341 }

function arriving(packets: number, lost: number, bytes: number): Entry[] {
  const sound = {
    type: 'inbound-rtp',
    kind: 'audio',
    packetsReceived: packets,
    packetsLost: lost,
    bytesReceived: bytes,
  }
  const picture = { ...sound, kind: 'video', bytesReceived: 10 * bytes, frameWidth: 640, frameHeight: 360 }
  const other = { type: 'candidate-pair', nominated: false, currentRoundTripTime: 9 }
  return [sound, picture, other, PAIR, { type: 'codec' }]
}

test('what arrived of somebody between two looks', () => {
  const [before, now] = [sum(arriving(100, 90, 1_000), 1_000), sum(arriving(190, 100, 5_000), 3_000)]
  expect(between(before, now)).toEqual({
    lossPermille: 100,
    roundTripMs: 34,
    soundKbps: 16,
    pictureKbps: 160,
    width: 640,
    height: 360,
  })
})

test('what somebody sends is lost where the node says so, in all layers', () => {
  const layer = (height: number, sent: number): Entry => ({
    type: 'outbound-rtp',
    kind: 'video',
    packetsSent: sent,
    bytesSent: 1_000 * sent,
    frameWidth: 2 * height,
    frameHeight: height,
  })
  const lost = (packetsLost: number): Entry => ({ type: 'remote-inbound-rtp', kind: 'video', packetsLost })
  const before = sum([layer(180, 0), layer(720, 0), lost(0)], 0)
  const now = sum([layer(180, 50), layer(720, 150), lost(1)], 1_000)
  expect(between(before, now)).toEqual({
    lossPermille: 5,
    soundKbps: 0,
    pictureKbps: 1_600,
    width: 1_440,
    height: 720,
  })
})

test('nothing is made up before there are two looks, or when a track is gone', () => {
  const count = sum(arriving(100, 0, 1_000), 1_000)
  const size = { width: 640, height: 360, roundTripMs: 34 }
  expect(between(undefined, count)).toEqual(size)
  expect(between(count, count)).toEqual(size)
  expect(between(sum(arriving(500, 0, 9_000), 0), count)).toEqual(size)
})

test('a round trip that somebody says is a number of milliseconds, or nothing', () => {
  const read = (text: string) => readRoundTrip(new TextEncoder().encode(text))
  expect([read('0'), read('34'), read('60000')]).toEqual([0, 34, 60_000])
  for (const bad of ['', '-1', '1.5', '60001', '1e3', 'NaN', '000000', '34 ms']) expect(read(bad)).toBeNull()
})
