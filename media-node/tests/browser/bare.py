"""Joins a room as a bare WebRTC peer (aiortc), which knows of LiveKit only what is on the wire: v0 of its signalling.

    bare.py URL        with the token in LOCUM_TOKEN

Receives only. One JSON object a line: {"event": …} as things happen, {"video": frames, "audio": frames} twice a second.
"""

import asyncio
import json
import os
import sys

import websockets
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp
from livekit.protocol import models, rtc

arrived = {"video": 0, "audio": 0}
tasks = set()


def tell(**what):
    print(json.dumps(what), flush=True)


def start(work):
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def count(track):
    try:
        while True:
            await track.recv()
            arrived[track.kind] += 1
    except MediaStreamError:
        tell(event="ended", kind=track.kind)


async def answer(peer, socket, offer):
    await peer.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
    await peer.setLocalDescription(await peer.createAnswer())
    description = rtc.SessionDescription(type="answer", sdp=peer.localDescription.sdp, id=offer.id)
    await socket.send(rtc.SignalRequest(answer=description).SerializeToString())


async def add(peer, trickle):
    said = json.loads(trickle.candidateInit)
    if trickle.target != rtc.SignalTarget.SUBSCRIBER or not said["candidate"]:
        return
    candidate = candidate_from_sdp(said["candidate"].removeprefix("candidate:"))
    candidate.sdpMid, candidate.sdpMLineIndex = said.get("sdpMid"), said.get("sdpMLineIndex")
    await peer.addIceCandidate(candidate)


async def ping(socket, seconds):
    while True:
        await asyncio.sleep(seconds)
        await socket.send(rtc.SignalRequest(ping=1).SerializeToString())


async def signal(peer, socket):
    async for message in socket:
        response = rtc.SignalResponse.FromString(message)
        match response.WhichOneof("message"):
            case "join":
                tell(event="joined", others=[other.identity for other in response.join.other_participants])
                start(ping(socket, response.join.ping_interval or 5))
            case "offer":
                await answer(peer, socket, response.offer)
            case "trickle":
                await add(peer, response.trickle)
            case "leave":
                tell(event="sent-away")
                return


async def main(url):
    peer = RTCPeerConnection()

    @peer.on("track")
    def _(track):
        tell(event="track", kind=track.kind)
        start(count(track))

    @peer.on("datachannel")
    def _(channel):
        @channel.on("message")
        def _(message):
            packet = models.DataPacket.FromString(message)
            tell(event="data", channel=channel.label, who=packet.participant_identity, text=packet.user.payload.decode())

    @peer.on("connectionstatechange")
    def _():
        tell(event=peer.connectionState)

    headers = {"Authorization": f"Bearer {os.environ['LOCUM_TOKEN']}"}
    address = f"{url}/rtc?protocol=15&auto_subscribe=1&sdk=other&version=0"
    async with websockets.connect(address, additional_headers=headers) as socket:
        start(signal(peer, socket))
        asyncio.get_running_loop().add_reader(sys.stdin, leave.set)
        while not leave.is_set():
            tell(**arrived)
            await asyncio.sleep(0.5)
        bye = rtc.LeaveRequest(reason=models.DisconnectReason.CLIENT_INITIATED)
        await socket.send(rtc.SignalRequest(leave=bye).SerializeToString())
    await peer.close()


leave = asyncio.Event()
asyncio.run(main(*sys.argv[1:]))
