# SPDX-License-Identifier: Apache-2.0
"""gurux-dlms does the same work as we do; runs only under .venv-peers, as a process of its own.

Standard input: one JSON object a line, {"task": name, ...}.  Standard output: one JSON object a
line, {"per_s": figure, "check": number that proves the work was done}.
"""

import json
import os
import socket
import sys
import time

from gurux_dlms import GXByteBuffer, GXReplyData
from gurux_dlms.enums import Authentication, InterfaceType, Security
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo
from gurux_dlms.objects import GXDLMSRegister
from gurux_dlms.secure import GXDLMSSecureClient


def timed(work, seconds):
    """Repeat `work(i)` for about `seconds`; return times a second."""
    work(0)
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        count += 1
        work(count)
    return count / spent


def client(ask, *, protected):
    made = GXDLMSSecureClient(
        True,
        1 if protected else 16,
        1,
        Authentication.HIGH_GMAC if protected else Authentication.NONE,
        None,
        InterfaceType.WRAPPER,
    )
    if protected:
        made.ciphering.security = Security.AUTHENTICATION_ENCRYPTION
        made.ciphering.systemTitle = bytearray.fromhex(ask["client_title"])
        made.ciphering.blockCipherKey = bytearray.fromhex(ask["guek"])
        made.ciphering.authenticationKey = bytearray.fromhex(ask["gak"])
        made.ciphering.invocationCounter = ask.get("counter", 1)
    return made


def decode_profile(ask):
    octets, rows = bytes.fromhex(ask["octets"]), ask["rows"]
    settings = GXDLMSSecureClient().settings
    began = time.perf_counter()
    parsed = _GXCommon.getData(settings, GXByteBuffer(octets), _GXDataInfo())
    spent = time.perf_counter() - began
    return rows / spent, sum(int(row[2]) for row in parsed)


def decode_profile_blocks(ask):
    frames = [bytes.fromhex(one) for one in ask["wrapped_glo"]]
    made = client(ask, protected=True)
    made.settings.sourceSystemTitle = bytearray.fromhex(ask["server_title"])
    began = time.perf_counter()
    reply = GXReplyData()
    for frame in frames:
        made.getData(GXByteBuffer(frame), reply, None)
        made.settings.increaseBlockIndex()  # which asking for the next block would do
    spent = time.perf_counter() - began
    return ask["rows"] / spent, sum(int(row[2]) for row in reply.value)


def decode_protected(ask):
    frames = [bytes.fromhex(one) for one in ask["wrapped_glo"]]
    made = client(ask, protected=True)
    made.settings.sourceSystemTitle = bytearray.fromhex(ask["server_title"])
    reply = None

    def work(i):
        nonlocal reply
        reply = GXReplyData()
        made.getData(GXByteBuffer(frames[i % len(frames)]), reply, None)

    per_s = timed(work, ask["seconds"])
    return per_s, int(reply.value)


def encode_request(ask):
    made = client(ask, protected=False)
    register = GXDLMSRegister("1.0.1.8.0.255")
    octets = b""

    def work(_):
        nonlocal octets
        octets = made.read(register, 2)[0]

    per_s = timed(work, ask["seconds"])
    return per_s, len(octets)


def encode_protected_request(ask):
    made = client(ask, protected=True)
    register = GXDLMSRegister("1.0.1.8.0.255")
    octets = b""

    def work(_):
        nonlocal octets
        octets = made.read(register, 2)[0]

    per_s = timed(work, ask["seconds"])
    return per_s, len(octets)


def round_trips(ask):
    made = client(ask, protected=ask["protected"])
    link = socket.create_connection(("127.0.0.1", ask["port"]))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(frame, reply):
        link.sendall(frame)
        got = GXByteBuffer()
        while True:
            more = link.recv(4096)
            if not more:
                raise ConnectionError("the meter hung up")
            got.set(more)
            if made.getData(got, reply, None):
                return

    def all_of(frames):
        reply = GXReplyData()
        for frame in frames if isinstance(frames, list) else [frames]:
            reply.clear()
            exchange(frame, reply)
        return reply

    made.parseAareResponse(all_of(made.aarqRequest()).data)
    if made.isAuthenticationRequired:
        made.parseApplicationAssociationResponse(
            all_of(made.getApplicationAssociationRequest()).data
        )
    register = GXDLMSRegister(".".join(map(str, ask["obis"])))
    reply = None

    def work(_):
        nonlocal reply
        reply = all_of(made.read(register, 2))

    per_s = timed(work, ask["seconds"])
    link.close()
    return per_s, int(reply.value)


TASKS = {
    "decode_profile": decode_profile,
    "decode_profile_blocks": decode_profile_blocks,
    "decode_protected": decode_protected,
    "encode_request": encode_request,
    "encode_protected_request": encode_protected_request,
    "round_trips": round_trips,
}

answers, sys.stdout = sys.stdout, open(os.devnull, "w")  # the library prints as it deciphers
for line in sys.stdin:
    asked = json.loads(line)
    per_s, check = TASKS[asked["task"]](asked)
    print(json.dumps({"per_s": per_s, "check": check}), file=answers, flush=True)
