"""Joins a room with the LiveKit SDK for Python, publishes a moving picture and a tone, and tells what arrives.

    client.py URL v0|v1        with the token in LOCUM_TOKEN

One JSON object a line: {"event": …} as things happen, {"video": frames, "audio": frames, "from": {who: the same}} twice
a second. Reads lines: "say …" sends the rest to everybody, anything else ends it.
"""

import array
import asyncio
import json
import math
import os
import sys

from livekit import rtc

WIDTH, HEIGHT, RATE = 320, 180, 48_000
arrived = {"video": 0, "audio": 0, "from": {}}
tasks = set()


def tell(**what):
    print(json.dumps(what), flush=True)


def start(work):
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def count(kind, who, stream):
    theirs = arrived["from"].setdefault(who, {"video": 0, "audio": 0})
    async for _ in stream:
        arrived[kind] += 1
        theirs[kind] += 1


async def film(source):
    shade = 0
    while True:
        shade = (shade + 16) % 256
        frame = bytes((shade, 255 - shade, 128, 255)) * (WIDTH * HEIGHT)
        source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.RGBA, frame))
        await asyncio.sleep(1 / 15)


async def sing(source):
    tone = array.array("h", (int(12_000 * math.sin(2 * math.pi * 440 * i / RATE)) for i in range(RATE // 100)))
    while True:
        await source.capture_frame(rtc.AudioFrame(tone.tobytes(), RATE, 1, len(tone)))


async def publish(room):
    camera, microphone = rtc.VideoSource(WIDTH, HEIGHT), rtc.AudioSource(RATE, 1)
    tracks = (
        (rtc.LocalVideoTrack.create_video_track("camera", camera), rtc.TrackSource.SOURCE_CAMERA),
        (rtc.LocalAudioTrack.create_audio_track("microphone", microphone), rtc.TrackSource.SOURCE_MICROPHONE),
    )
    for track, source in tracks:
        options = rtc.TrackPublishOptions(source=source, simulcast=False, video_codec=rtc.VideoCodec.VP8)
        await room.local_participant.publish_track(track, options)
    start(film(camera))
    start(sing(microphone))


async def main(url, version):
    room = rtc.Room()

    @room.on("track_subscribed")
    def _(track, _publication, participant):
        tell(event="subscribed", who=participant.identity)
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            start(count("video", participant.identity, rtc.VideoStream(track)))
        else:
            start(count("audio", participant.identity, rtc.AudioStream(track)))

    @room.on("data_received")
    def _(packet):
        tell(event="data", who=packet.participant.identity, text=packet.data.decode())

    for name in ("reconnecting", "reconnected", "disconnected", "participant_disconnected"):
        room.on(name, lambda *_, name=name: tell(event=name))
    options = rtc.RoomOptions(single_peer_connection=version == "v1")
    await room.connect(url, os.environ["LOCUM_TOKEN"], options)
    tell(event="connected")
    await publish(room)
    await room.local_participant.publish_data("hello", reliable=True, topic="t")
    tell(event="published")

    def told():
        line = sys.stdin.readline().rstrip()
        if line.startswith("say "):
            start(room.local_participant.publish_data(line.removeprefix("say "), reliable=True, topic="t"))
        else:
            leave.set()

    asyncio.get_running_loop().add_reader(sys.stdin, told)
    while not leave.is_set():
        tell(**arrived)
        await asyncio.sleep(0.5)
    await room.disconnect()


leave = asyncio.Event()
asyncio.run(main(*sys.argv[1:]))
