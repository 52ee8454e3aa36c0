import { type LocalTrack, type RemoteTrackPublication, type Room, RoomEvent, Track } from 'livekit-client'
import type { OwnTrack } from 'locum-call'

type Device = Track.Source.Camera | Track.Source.Microphone

/**
 * The rooms that this person is in: one, and in a move two. What is switched on or off is so in all of them, also in
 * what is only about to be published.
 */
export class LiveRooms {
  #rooms = new Set<Room>()
  #copies = new Map<OwnTrack, Room>()
  #pictures = true

  /** With copies of what is published elsewhere, which are made now: the room before may be left any moment. */
  add(room: Room, copies: OwnTrack[] = []): void {
    this.#rooms.add(room)
    for (const copy of copies) this.#copies.set(copy, room)
    const published = (publication: RemoteTrackPublication) => this.#choose(publication)
    room.on(RoomEvent.TrackPublished, published)
    room.once(RoomEvent.Disconnected, () => {
      room.off(RoomEvent.TrackPublished, published)
      this.#rooms.delete(room)
      // Devices stay open no longer than the call, wherever publishing stands.
      for (const copy of this.#copiesFor(room)) {
        copy.stop()
        this.#copies.delete(copy)
      }
    })
    if (!this.#pictures) this.#chooseAll(room)
  }

  /** Whether pictures of the others are received at all, from now on and of whoever comes. */
  receivePictures(on: boolean): void {
    this.#pictures = on
    for (const room of this.#rooms) this.#chooseAll(room)
  }

  #chooseAll(room: Room): void {
    for (const person of room.remoteParticipants.values()) {
      for (const publication of person.trackPublications.values()) this.#choose(publication)
    }
  }

  #choose(publication: RemoteTrackPublication): void {
    if (publication.kind === Track.Kind.Video && publication.isDesired !== this.#pictures) {
      publication.setSubscribed(this.#pictures)
    }
  }

  /** Publishes a room's copies. What fails is let go of: the devices are asked anew then. */
  async publish(into: Room): Promise<void> {
    const publish = async (copy: OwnTrack) => {
      try {
        await into.localParticipant.publishTrack(copy as LocalTrack)
      } catch {
        copy.stop()
      } finally {
        this.#copies.delete(copy)
      }
    }
    await Promise.all(this.#copiesFor(into).map(publish))
  }

  #copiesFor(room: Room): OwnTrack[] {
    return [...this.#copies].flatMap(([copy, into]) => (into === room ? [copy] : []))
  }

  /** Fails as it does in the newest of the rooms. */
  async set(device: Device, on: boolean): Promise<void> {
    if (!on) for (const copy of this.#copies.keys()) if (copy.source === device) void copy.mute()
    const set = [...this.#rooms].map(({ localParticipant: me }) =>
      device === Track.Source.Camera ? me.setCameraEnabled(on) : me.setMicrophoneEnabled(on),
    )
    const newest = set.pop()
    // One that is lost may never answer.
    for (const older of set) older.catch(() => undefined)
    await newest
  }
}
