# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN001, ANN201, ANN204, FBT003, PTH123, SIM115
"""gurux-dlms reads a meter; runs only under .venv-peers, as a process of its own.

One JSON object as argument says how to associate; one JSON object on standard output says what
was read.
"""

import datetime as dt
import json
import os
import socket
import sys

from gurux_dlms import GXByteBuffer, GXDLMSClient, GXDLMSGateway, GXReplyData
from gurux_dlms.ecdsa import GXPrivateKey, GXPublicKey
from gurux_dlms.enums import Authentication, Conformance, InterfaceType, Security
from gurux_dlms.objects import (
    GXDLMSClock,
    GXDLMSData,
    GXDLMSDisconnectControl,
    GXDLMSProfileGeneric,
    GXDLMSRegister,
    GXDLMSSecuritySetup,
)
from gurux_dlms.objects.enums import GlobalKeyType, SecuritySuite
from gurux_dlms.secure import GXDLMSSecureClient


class CountedSettings:
    """The numbers of I frames as IEC 62056-46 counts them.

    Version 1.0.203 cannot receive in windows: N(R) goes up by one a window, and frames that are
    sent again end in an UnboundLocalError (`ReceiverFrame` is a local name there).
    """

    def __init__(self, settings):
        self.sent = 7
        self.expected = 0
        self.check_unnumbered = settings.checkFrame
        settings.checkFrame = self.check
        settings.getNextSend = self.next_send
        settings.getReceiverReady = lambda: self.expected << 5 | 0x11

    def check(self, frame, xml):
        """Tell whether a frame comes in turn."""
        if frame & 1:
            return frame & 3 == 1 or self.check_unnumbered(frame, xml)
        if frame >> 1 & 7 != self.expected:
            return False
        self.expected = (self.expected + 1) % 8
        return True

    def next_send(self, _first):
        """Return the control field of our next I frame."""
        self.sent = (self.sent + 1) % 8
        return self.expected << 5 | 0x10 | self.sent << 1


AUTHENTICATIONS = {
    "none": Authentication.NONE,
    "lls": Authentication.LOW,
    "hls": Authentication.HIGH,
    "gmac": Authentication.HIGH_GMAC,
    "ecdsa": Authentication.HIGH_ECDSA,
}
CIPHERED = ("gmac", "ecdsa")


class Reader:
    """A client and its connection."""

    def __init__(self, ask):
        self.client = GXDLMSSecureClient(
            True,
            ask["client_sap"],
            1,
            AUTHENTICATIONS[ask["mechanism"]],
            ask.get("password"),
            InterfaceType.HDLC if "hdlc" in ask else InterfaceType.WRAPPER,
        )
        if "hdlc" in ask:
            self.speak_hdlc(**ask["hdlc"])
        self.client.maxReceivePDUSize = ask.get("pdu_octets", 0xFFFF)
        if "general_blocks" in ask:
            blocks = Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
            self.client.proposedConformance &= ~blocks
            self.client.proposedConformance |= Conformance.GENERAL_BLOCK_TRANSFER
            self.client.gbtWndowSize = ask["general_blocks"]
            # The library asks its settings for a name that they do not have.
            type(self.client.settings).blockNumber = property(lambda held: held.blockIndex)
        if ask["mechanism"] in CIPHERED:
            ciphering = self.client.ciphering
            ciphering.security = Security.AUTHENTICATION_ENCRYPTION
            ciphering.systemTitle = bytearray.fromhex(ask["client_title"])
            ciphering.blockCipherKey = bytearray.fromhex(ask["guek"])
            ciphering.authenticationKey = bytearray.fromhex(ask["gak"])
            ciphering.invocationCounter = ask["counter"]
            ciphering.securitySuite = SecuritySuite(ask.get("suite", 0))
            if "dedicated_key" in ask:
                ciphering.dedicatedKey = bytearray.fromhex(ask["dedicated_key"])
        if ask["mechanism"] == "ecdsa":
            # The library holds the peer's public key and its own private one as a pair.
            ciphering.signingKeyPair = (
                GXPublicKey.fromRawBytes(bytearray.fromhex("04" + ask["peer_public"])),
                GXPrivateKey.fromRawBytes(bytearray.fromhex(ask["private"])),
            )
            # Its own challenge has 16 octets, and the mechanism asks for 32 or more.
            self.client.ctoSChallenge = bytearray(os.urandom(32))
        if "gateway" in ask:
            gateway = GXDLMSGateway()
            gateway.networkId = ask["gateway"]["network"]
            gateway.physicalDeviceAddress = bytearray.fromhex(ask["gateway"]["address"])
            self.client.gateway = gateway
        if ask.get("udp"):
            self.link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.link.settimeout(20)
            self.link.connect(("127.0.0.1", ask["port"]))
        else:
            self.link = socket.create_connection(("127.0.0.1", ask["port"]), timeout=20)

    def speak_hdlc(self, physical, size, window, max_info):
        """Set addresses and what SNRM proposes."""
        if size > 1:
            self.client.serverAddress = GXDLMSClient.getServerAddress(1, physical, size)
        self.client.serverAddressSize = size
        settings = self.client.hdlcSettings
        settings.windowSizeRX = settings.windowSizeTX = window
        settings.maxInfoRX = settings.maxInfoTX = max_info
        if window > 1:
            CountedSettings(self.client.settings)

    def connect(self):
        """Open the link, where there is one."""
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
            while reply.isMoreData():
                self.frame(self.client.receiverReady(reply), reply)
        return reply

    def associate(self):
        """Open the association, with passes 3 and 4 of HLS if they are asked for."""
        self.client.parseAareResponse(self.ask(self.client.aarqRequest()).data)
        if self.client.isAuthenticationRequired:
            self.client.parseApplicationAssociationResponse(
                self.ask(self.client.getApplicationAssociationRequest()).data
            )

    def read(self, thing, index):
        """Read one attribute into the library's object."""
        return self.client.updateValue(thing, index, self.ask(self.client.read(thing, index)).value)

    def rows(self, profile, frames):
        """Read rows of a profile."""
        self.client.updateValue(profile, 2, self.ask(frames).value)
        return [[plain(cell) for cell in row] for row in profile.buffer]


def transfer(reader, ask):
    """Replace the global unicast key, and read a register under the new one."""
    new = bytearray.fromhex(ask["transfer"])
    rows = [(GlobalKeyType.UNICAST_ENCRYPTION, new)]
    setup = GXDLMSSecuritySetup(ask["security_setup"])
    kek = bytearray.fromhex(ask["kek"])
    reader.ask(setup.globalKeyTransfer(reader.client, kek, rows))
    reader.client.ciphering.blockCipherKey = new
    register = GXDLMSRegister(ask["energy"])
    reader.read(register, 2)
    return int(register.value)


def plain(cell):
    """A cell as JSON can say it."""
    moment = getattr(cell, "value", None)
    if isinstance(moment, dt.datetime):
        return moment.astimezone(dt.UTC).isoformat()
    return int(cell)


def main(ask):
    reader = Reader(ask)
    reader.connect()
    reader.associate()
    found = {}
    name = reader.ask(reader.client.read(GXDLMSData("0.0.42.0.0.255"), 2)).value
    found["name"] = bytes(name).hex()
    clock = GXDLMSClock("0.0.1.0.0.255")
    reader.read(clock, 2)
    found["clock"] = plain(clock.time)
    listed = reader.client.parseObjects(
        reader.ask(reader.client.getObjectsRequest()).data, True, False
    )
    found["objects"] = sorted(thing.logicalName for thing in listed)
    if "energy" in ask:  # the public client sees neither registers nor profiles
        register = GXDLMSRegister(ask["energy"])
        reader.read(register, 3)
        found["scaler"], found["unit"] = register.scaler, int(register.unit)
        reader.read(register, 2)
        found["energy"] = int(register.value)
        profile = GXDLMSProfileGeneric(ask["profile"])
        reader.read(profile, 3)
        found["columns"] = len(profile.captureObjects)
        begin, end = (dt.datetime.fromisoformat(ask[key]) for key in ("from", "to"))
        found["by_range"] = reader.rows(profile, reader.client.readRowsByRange(profile, begin, end))
        found["by_entry"] = reader.rows(profile, reader.client.readRowsByEntry(profile, 3, 2))
        profile.buffer = []
        found["all"] = len(reader.rows(profile, reader.client.read(profile, 2)))
    if ask.get("disconnect"):
        unit = GXDLMSDisconnectControl(ask["disconnect"])
        reader.ask(unit.remoteDisconnect(reader.client))
        reader.read(unit, 2)
        found["supplied"] = bool(unit.outputState)
    if ask.get("transfer"):
        found["energy_under_new_key"] = transfer(reader, ask)
    released = reader.client.releaseRequest()
    if released:
        reader.ask(released)
    if "hdlc" in ask:
        reader.ask(reader.client.disconnectRequest())
    reader.link.close()
    return found


answers, sys.stdout = sys.stdout, open(os.devnull, "w")  # the library prints as it deciphers
print(json.dumps(main(json.loads(sys.argv[1]))), file=answers)
