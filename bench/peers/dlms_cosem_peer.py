# SPDX-License-Identifier: Apache-2.0
"""dlms-cosem does the same work as we do; runs only under .venv-peers, as a process of its own.

Standard input: one JSON object a line, {"task": name, ...}.  Standard output: one JSON object a
line, {"per_s": figure, "check": number that proves the work was done}.
"""

import json
import logging
import socket
import sys
import time

import structlog
from dlms_cosem import cosem, enumerations, utils
from dlms_cosem.connection import DlmsConnection, XDlmsApduFactory
from dlms_cosem.dlms_data import OctetStringData
from dlms_cosem.protocol.xdlms import ActionRequestNormal, GeneralGlobalCipher, GetRequestNormal
from dlms_cosem.protocol.xdlms.conformance import Conformance
from dlms_cosem.protocol.xdlms.invoke_id_and_priority import InvokeIdAndPriority
from dlms_cosem.security import (
    HighLevelSecurityGmacAuthentication,
    NoSecurityAuthentication,
    SecurityControlField,
    encrypt,
)

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def timed(work, seconds):
    """Repeat `work(i)` for about `seconds`; return times a second."""
    work(0)
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for _ in range(8):
            count += 1
            work(count)
    return count / spent


def decode_profile(ask):
    octets, rows = bytes.fromhex(ask["octets"]), ask["rows"]
    began = time.perf_counter()
    parsed = utils.parse_as_dlms_data(octets)
    spent = time.perf_counter() - began
    return rows / spent, sum(row[2] for row in parsed)


def decode_profile_blocks(ask):
    blocks = [bytes.fromhex(one) for one in ask["general_glo"]]
    guek, gak = bytes.fromhex(ask["guek"]), bytes.fromhex(ask["gak"])
    began = time.perf_counter()
    octets = bytearray()
    for block in blocks:
        apdu = GeneralGlobalCipher.from_bytes(block)
        plain = bytearray(apdu.to_plain_apdu(guek, gak))
        octets += XDlmsApduFactory.apdu_from_bytes(plain).data
    parsed = utils.parse_as_dlms_data(octets)
    spent = time.perf_counter() - began
    return ask["rows"] / spent, sum(row[2] for row in parsed)


def decode_protected(ask):
    octets = [bytes.fromhex(one) for one in ask["general_glo"]]
    guek, gak = bytes.fromhex(ask["guek"]), bytes.fromhex(ask["gak"])
    last = None

    def work(i):
        nonlocal last
        apdu = GeneralGlobalCipher.from_bytes(octets[i % len(octets)])
        last = XDlmsApduFactory.apdu_from_bytes(bytearray(apdu.to_plain_apdu(guek, gak)))

    per_s = timed(work, ask["seconds"])
    return per_s, utils.parse_as_dlms_data(last.data)


def encode_request(ask):
    attribute = cosem.CosemAttribute(
        interface=enumerations.CosemInterface.REGISTER,
        instance=cosem.Obis(1, 0, 1, 8, 0, 255),
        attribute=2,
    )
    octets = b""

    def work(_):
        nonlocal octets
        octets = GetRequestNormal(
            cosem_attribute=attribute, invoke_id_and_priority=InvokeIdAndPriority(1, True, True)
        ).to_bytes()

    per_s = timed(work, ask["seconds"])
    return per_s, len(octets)


def encode_protected_request(ask):
    attribute = cosem.CosemAttribute(
        interface=enumerations.CosemInterface.REGISTER,
        instance=cosem.Obis(1, 0, 1, 8, 0, 255),
        attribute=2,
    )
    guek, gak = bytes.fromhex(ask["guek"]), bytes.fromhex(ask["gak"])
    title = bytes.fromhex(ask["client_title"])
    control = SecurityControlField(security_suite=0, authenticated=True, encrypted=True)
    octets = b""

    def work(counter):
        nonlocal octets
        plain = GetRequestNormal(
            cosem_attribute=attribute, invoke_id_and_priority=InvokeIdAndPriority(1, True, True)
        ).to_bytes()
        octets = GeneralGlobalCipher(
            system_title=title,
            security_control=control,
            invocation_counter=counter,
            ciphered_text=encrypt(control, title, counter, guek, plain, gak),
        ).to_bytes()

    per_s = timed(work, ask["seconds"])
    return per_s, len(octets)


class Link:
    """A wrapper connection with just enough to wait for one answer."""

    def __init__(self, port, client_sap):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = (1).to_bytes(2, "big") + client_sap.to_bytes(2, "big") + (1).to_bytes(2, "big")

    def exchange(self, apdu):
        self.socket.sendall(self.head + len(apdu).to_bytes(2, "big") + apdu)
        head = self.take(8)
        return self.take(int.from_bytes(head[6:8], "big"))

    def take(self, count):
        got = b""
        while len(got) < count:
            more = self.socket.recv(count - len(got))
            if not more:
                raise ConnectionError("the meter hung up")
            got += more
        return got


def round_trips(ask):
    """GET round trips; the association is opened by this library as well."""
    protected = ask["protected"]
    link = Link(ask["port"], 1 if protected else 16)
    keys = {}
    if protected:
        keys = {
            "global_encryption_key": bytes.fromhex(ask["guek"]),
            "global_authentication_key": bytes.fromhex(ask["gak"]),
            "client_system_title": bytes.fromhex(ask["client_title"]),
            "client_invocation_counter": ask["counter"],
        }
        authentication = HighLevelSecurityGmacAuthentication(challenge_length=16)
    else:
        keys = {"client_system_title": b"TESTPEER"}
        authentication = NoSecurityAuthentication()
    connection = DlmsConnection(
        authentication=authentication,
        conformance=Conformance(
            general_protection=protected,
            get=True,
            action=True,
            block_transfer_with_get_or_read=True,
        ),
        **keys,
    )

    def ask_meter(event):
        connection.receive_data(link.exchange(connection.send(event)))
        return connection.next_event()

    ask_meter(connection.get_aarq())
    if protected:
        reply = connection.authentication.hls_generate_reply_data(connection)
        ask_meter(
            ActionRequestNormal(
                cosem_method=cosem.CosemMethod(
                    enumerations.CosemInterface.ASSOCIATION_LN,
                    cosem.Obis(0, 0, 40, 0, 0, 255),
                    1,
                ),
                data=OctetStringData(reply).to_bytes(),
            )
        )
    attribute = cosem.CosemAttribute(
        interface=enumerations.CosemInterface.REGISTER,
        instance=cosem.Obis(*ask["obis"]),
        attribute=2,
    )
    last = None

    def work(_):
        nonlocal last
        last = ask_meter(GetRequestNormal(cosem_attribute=attribute))

    per_s = timed(work, ask["seconds"])
    link.socket.close()
    return per_s, utils.parse_as_dlms_data(last.data)


TASKS = {
    "decode_profile": decode_profile,
    "decode_profile_blocks": decode_profile_blocks,
    "decode_protected": decode_protected,
    "encode_request": encode_request,
    "encode_protected_request": encode_protected_request,
    "round_trips": round_trips,
}

for line in sys.stdin:
    asked = json.loads(line)
    per_s, check = TASKS[asked["task"]](asked)
    print(json.dumps({"per_s": per_s, "check": check}), flush=True)
