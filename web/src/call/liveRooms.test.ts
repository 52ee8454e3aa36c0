import { Track } from 'livekit-client'
import type { OwnTrack } from 'locum-call'
import { expect, test, vi } from 'vitest'
import { LiveRooms } from './liveRooms'

/** A publication of somebody else. */
function theirs(kind: Track.Kind) {
  const publication = {
    kind,
    isDesired: true,
    setSubscribed: (on: boolean) => {
      publication.isDesired = on
    },
  }
  return publication
}

function fakeRoom(...publications: ReturnType<typeof theirs>[]) {
  let published = () => {}
  let fails = (_: Error) => {}
  let gone = () => {}
  const me = {
    setCameraEnabled: vi.fn(async (_: boolean) => {}),
    setMicrophoneEnabled: vi.fn(async (_: boolean) => {}),
    publishTrack: () =>
      new Promise<void>((resolve, reject) => {
        published = resolve
        fails = reject
      }),
  }
  let told = (_: object) => {}
  const room = {
    localParticipant: me,
    remoteParticipants: new Map([['other', { trackPublications: new Map(publications.entries()) }]]),
    on: (_: string, then: (publication: object) => void) => {
      told = then
    },
    off: () => {},
    once: (_: string, then: () => void) => {
      gone = then
    },
  }
  return {
    room: room as never,
    me,
    published: () => published(),
    fails: (e: Error) => fails(e),
    gone: () => gone(),
    told: (publication: object) => told(publication),
  }
}

const copy = (source: Track.Source) => ({ source, mute: vi.fn(async () => {}), stop: vi.fn() })
const asTracks = (...copies: object[]) => copies as unknown as OwnTrack[]

test('in a move both rooms are muted, and what is only about to be published', async () => {
  const [before, next, rooms] = [fakeRoom(), fakeRoom(), new LiveRooms()]
  const [microphone, camera] = [copy(Track.Source.Microphone), copy(Track.Source.Camera)]
  rooms.add(before.room)
  rooms.add(next.room, asTracks(microphone, camera))
  await rooms.set(Track.Source.Microphone, false)
  expect(before.me.setMicrophoneEnabled).toHaveBeenCalledWith(false)
  expect(next.me.setMicrophoneEnabled).toHaveBeenCalledWith(false)
  expect([microphone.mute.mock.calls.length, camera.mute.mock.calls.length]).toEqual([1, 0])
})

test('the newest room says whether it worked, the others need not answer', async () => {
  const [before, next, rooms] = [fakeRoom(), fakeRoom(), new LiveRooms()]
  rooms.add(before.room)
  rooms.add(next.room)
  before.me.setCameraEnabled.mockReturnValue(new Promise(() => {}))
  await rooms.set(Track.Source.Camera, true)
  next.me.setCameraEnabled.mockRejectedValue(new Error('in use'))
  await expect(rooms.set(Track.Source.Camera, true)).rejects.toThrow('in use')
})

test('what cannot be published is let go of, and a room that is gone is not asked', async () => {
  const [room, rooms, camera] = [fakeRoom(), new LiveRooms(), copy(Track.Source.Camera)]
  rooms.add(room.room, asTracks(camera))
  const published = rooms.publish(room.room)
  room.fails(new Error('no'))
  await published
  expect(camera.stop).toHaveBeenCalledOnce()
  const [next, microphone] = [fakeRoom(), copy(Track.Source.Microphone)]
  rooms.add(next.room, asTracks(microphone))
  next.gone()
  expect(microphone.stop).toHaveBeenCalledOnce()
  room.gone()
  await rooms.set(Track.Source.Camera, false)
  expect(room.me.setCameraEnabled).not.toHaveBeenCalled()
})

test('sound only is so in every room, for whatever is published later, and can be taken back', () => {
  const video = () => theirs(Track.Kind.Video)
  const [picture, voice, later, atNext] = [video(), theirs(Track.Kind.Audio), video(), video()]
  const [before, next, rooms] = [fakeRoom(picture, voice), fakeRoom(atNext), new LiveRooms()]
  const wanted = () => [picture, voice, later, atNext].map(({ isDesired }) => isDesired)
  rooms.add(before.room)
  rooms.receivePictures(false)
  before.told(later)
  rooms.add(next.room)
  expect(wanted()).toEqual([false, true, false, false])
  rooms.receivePictures(true)
  expect(wanted()).toEqual([true, true, false, true])
})
