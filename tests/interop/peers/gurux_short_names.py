# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN001, ANN201, ANN202, ANN204, FBT003, PTH123, SIM115
"""gurux-dlms reads a meter by short name; runs only under .venv-peers, as a process of its own.

One JSON object as argument says how to associate; one JSON object on standard output says what
was read.  Version 1.0.203 has three faults here, which are mended from outside:

- `getSNPdu` asserts that ciphertext is empty, so that nothing protected can be sent;
- pass 3 of HLS goes out as a WriteRequest, whose answer has no place for the meter's proof;
- a block of a ReadResponse calls functions of `GXReplyData` that do not exist, and the request
  for the next one has no tag.
"""

import datetime as dt
import json
import os
import socket
import sys

from gurux_dlms import GXByteBuffer, GXReplyData
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.enums import Authentication, Command, Conformance, DataType, InterfaceType, Security
from gurux_dlms.GXCiphering import GXCiphering
from gurux_dlms.GXDLMS import GXDLMS
from gurux_dlms.GXDLMSSNParameters import GXDLMSSNParameters
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.secure import GXDLMSSecureClient
from gurux_dlms.VariableAccessSpecification import VariableAccessSpecification

AUTHENTICATIONS = {
    "none": Authentication.NONE,
    "lls": Authentication.LOW,
    "md5": Authentication.HIGH_MD5,
    "gmac": Authentication.HIGH_GMAC,
}
UNCIPHERED = (Command.AARQ, Command.AARE, Command.RELEASE_REQUEST)
LLC = 3


def mend_ciphering():
    """Let the library cipher what it builds by short name."""
    build = GXDLMS.getSNPdu

    def build_and_cipher(p, reply):
        cipher = p.settings.cipher
        security = cipher.security if cipher else Security.NONE
        if security == Security.NONE:
            build(p, reply)
            return
        cipher.security = Security.NONE
        build(p, reply)
        cipher.security = security
        if p.command in UNCIPHERED:
            return
        head = LLC if p.settings.interfaceType == InterfaceType.HDLC else 0
        plain = bytes(reply.array())
        seal = AesGcmParameter(
            GXDLMS.getGloMessage(p.command),
            cipher.systemTitle,
            cipher.blockCipherKey,
            cipher.authenticationKey,
        )
        seal.security, seal.invocationCounter = security, cipher.invocationCounter
        seal.securitySuite = cipher.securitySuite
        cipher.invocationCounter += 1
        sealed = GXCiphering.encrypt(seal, bytearray(plain[head:]))
        reply.clear()
        reply.set(bytearray(plain[:head]))
        reply.set(sealed)

    GXDLMS.getSNPdu = build_and_cipher


def mend_pass_3(client):
    """Let the client read reply_to_HLS_authentication with its proof as parameter."""

    def read_method(name, _object_type, index, value, _type):
        descriptor, data = GXByteBuffer(), GXByteBuffer()
        descriptor.setUInt16(name + 0x20 + (index - 1) * 8)
        data.setUInt8(0)
        _GXCommon.setData(client.settings, data, DataType.OCTET_STRING, value)
        return GXDLMS.getSnMessages(
            GXDLMSSNParameters(
                client.settings,
                Command.READ_REQUEST,
                1,
                VariableAccessSpecification.PARAMETERISED_ACCESS,
                descriptor,
                data,
            )
        )

    method = client._GXDLMSClient__method
    client._GXDLMSClient__method = read_method
    request = client.getApplicationAssociationRequest()
    client._GXDLMSClient__method = method
    return request


class Reader:
    """A client and its connection."""

    def __init__(self, ask):
        self.client = GXDLMSSecureClient(
            False,
            ask["client_sap"],
            1,
            AUTHENTICATIONS[ask["mechanism"]],
            ask.get("password"),
            InterfaceType.HDLC if ask.get("hdlc") else InterfaceType.WRAPPER,
        )
        self.client.maxReceivePDUSize = ask.get("pdu_octets", 0xFFFF)
        if ask["mechanism"] == "gmac":
            ciphering = self.client.ciphering
            ciphering.security = Security.AUTHENTICATION_ENCRYPTION
            ciphering.systemTitle = bytearray.fromhex(ask["client_title"])
            ciphering.blockCipherKey = bytearray.fromhex(ask["guek"])
            ciphering.authenticationKey = bytearray.fromhex(ask["gak"])
            ciphering.invocationCounter = ask["counter"]
        if ask.get("blocks"):
            self.client.proposedConformance |= Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
        self.link = socket.create_connection(("127.0.0.1", ask["port"]), timeout=20)
        octets = self.client.snrmRequest()
        if octets:
            self.client.parseUAResponse(self.ask(octets).data)

    def frame(self, octets, reply):
        """Send one frame and take the answer to it."""
        if octets is None:
            return
        self.link.sendall(octets)
        got = GXByteBuffer()
        while True:
            more = self.link.recv(65536)
            if not more:
                raise ConnectionError("the meter hung up")
            got.set(more)
            if self.client.getData(got, reply, None):
                break
        if reply.error:
            raise RuntimeError(f"error {reply.error}")

    def ask(self, frames):
        """Send frames, then ask for the blocks that are missing."""
        reply = GXReplyData()
        for octets in frames if isinstance(frames, list) else [frames]:
            reply.clear()
            self.frame(octets, reply)
            self.client.settings.command = Command.READ_REQUEST
            while reply.isMoreData():
                self.frame(self.client.receiverReady(reply), reply)
        return reply

    def associate(self):
        """Open the association, with passes 3 and 4 of HLS if they are asked for."""
        self.client.parseAareResponse(self.ask(self.client.aarqRequest()).data)
        if self.client.isAuthenticationRequired:
            request = mend_pass_3(self.client)
            self.client.parseApplicationAssociationResponse(self.ask(request).data)

    def read(self, thing, index):
        """Read one attribute into the library's object."""
        value = self.ask(self.client.read(thing, index)).value
        return self.client.updateValue(thing, index, value)

    def rows(self, profile, frames):
        """Read rows of a profile."""
        profile.buffer = []
        self.client.updateValue(profile, 2, self.ask(frames).value)
        return [[plain(cell) for cell in row] for row in profile.buffer]


def plain(cell):
    """A cell as JSON can say it."""
    moment = getattr(cell, "value", None)
    if isinstance(moment, dt.datetime):
        return moment.astimezone(dt.UTC).isoformat()
    return int(cell)


def main(ask):
    mend_ciphering()
    GXReplyData.setTotalCount = lambda reply, count: setattr(reply, "totalCount", count)
    GXReplyData.getMoreData = lambda reply: reply.moreData
    reader = Reader(ask)
    reader.associate()
    client = reader.client
    listed = client.parseObjects(reader.ask(client.getObjectsRequest()).data, False, False)
    found = {"objects": {thing.logicalName: thing.shortName for thing in listed}}
    things = {thing.logicalName: thing for thing in listed}
    name = things["0.0.42.0.0.255"]
    found["name"] = bytes(reader.ask(client.read(name, 2)).value).hex()
    clock = things["0.0.1.0.0.255"]
    reader.read(clock, 2)
    found["clock"] = plain(clock.time)
    register = things[ask["energy"]]
    reader.read(register, 3)
    found["unit"] = int(register.unit)
    reader.read(register, 2)
    found["energy"] = int(register.value)
    profile = things[ask["profile"]]
    reader.read(profile, 3)
    begin, end = (dt.datetime.fromisoformat(ask[key]) for key in ("from", "to"))
    found["by_range"] = reader.rows(profile, client.readRowsByRange(profile, begin, end))
    found["by_entry"] = reader.rows(profile, client.readRowsByEntry(profile, 3, 2))
    found["all"] = len(reader.rows(profile, client.read(profile, 2)))
    if ask.get("note"):
        note = things[ask["note"]]
        note.value = bytearray(ask["write"].encode())
        note.setDataType(2, DataType.OCTET_STRING)
        reader.ask(client.write(note, 2))
        found["note"] = bytes(reader.ask(client.read(note, 2)).value).decode()
    if ask.get("disconnect"):
        unit = things[ask["disconnect"]]
        reader.ask(unit.remoteDisconnect(client))
        reader.read(unit, 2)
        found["supplied"] = bool(unit.outputState)
    released = client.releaseRequest()
    if released:
        reader.ask(released)
    if ask.get("hdlc"):
        reader.ask(client.disconnectRequest())
    reader.link.close()
    return found


answers, sys.stdout = sys.stdout, open(os.devnull, "w")  # the library prints as it deciphers
print(json.dumps(main(json.loads(sys.argv[1]))), file=answers)
