# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204, N802, N815, PTH123, SIM115
"""gurux-dlms serves a meter; runs only under .venv-peers, as a process of its own.

One JSON object as argument says which client is let in; the port is printed, then one connection
after the other is served to its end, as many as asked for.  Version 1.0.203 can serve attributes
with no security and with a password; its server's parts for profiles and for ciphering call
functions that do not exist.  By short name it serves single attributes once `mend_short_names` has
put right what stops it.
"""

import datetime as dt
import json
import os
import socket
import sys

from gurux_dlms import GXDateTime
from gurux_dlms.enums import (
    AccessMode,
    Authentication,
    InterfaceType,
    MethodAccessMode,
    SourceDiagnostic,
)
from gurux_dlms.GXDLMSServer import GXDLMSServer
from gurux_dlms.GXServerReply import GXServerReply
from gurux_dlms.objects import (
    GXDLMSAssociationLogicalName,
    GXDLMSAssociationShortName,
    GXDLMSClock,
    GXDLMSData,
    GXDLMSRegister,
)
from gurux_dlms.secure import GXDLMSSecureServer
from gurux_dlms.ValueEventArgs import ValueEventArgs

AUTHENTICATIONS = {
    "none": Authentication.NONE,
    "lls": Authentication.LOW,
}


class Reply(GXServerReply):
    """What the server asks of a reply and the library's own class lacks."""

    def getConnectionInfo(self):
        return None

    def setReply(self, octets):
        self.reply = octets


class Server(GXDLMSSecureServer):
    """A server whose callbacks let everything be read."""

    def __init__(self, ask):
        super().__init__(not ask.get("short_names"), InterfaceType.WRAPPER)
        self.ask = ask
        self.settings.maxServerPDUSize = ask["pdu_octets"]

    def isTarget(self, _server, client):
        return client == self.ask["client_sap"]

    def onValidateAuthentication(self, authentication, password):
        if authentication != AUTHENTICATIONS[self.ask["mechanism"]]:
            return SourceDiagnostic.AUTHENTICATION_MECHANISM_NAME_REQUIRED
        if self.ask["mechanism"] == "lls" and bytes(password) != self.ask["password"].encode():
            return SourceDiagnostic.AUTHENTICATION_FAILURE
        return SourceDiagnostic.NONE

    def onFindObject(self, object_type, _short_name, name):
        return self.items.findByLN(object_type, name)

    def onGetAttributeAccess(self, _args):
        return AccessMode.READ_WRITE

    def onGetMethodAccess(self, _args):
        return MethodAccessMode.ACCESS

    def notifyRead(self):
        """Called by the library, and missing in it."""

    def nothing(self, *_args):
        """Let the library do what it does."""

    onPreGet = onPostGet = onPreRead = onPostRead = onPreWrite = onPostWrite = nothing
    onConnected = onInvalidConnection = onDisconnected = onPreAction = onPostAction = nothing


class NoTransaction:
    """No long answer: the library calls it, and asks whether it is one."""

    def __call__(self):
        return None

    def __bool__(self):
        return False


def mend_short_names():
    """Let the library answer ReadRequests of one attribute."""
    none = NoTransaction()
    GXDLMSServer.transaction = property(lambda _server: none, lambda _server, _value: None)
    ValueEventArgs.isSkipMaxPduSize = lambda _event: True
    value = GXDLMSAssociationShortName.getValue

    def without_error(association, settings, event):
        found = value(association, settings, event)
        event.error = 0  # each answer of the association is marked as denied
        return found

    GXDLMSAssociationShortName.getValue = without_error


BASE_NAMES = (0xFD00, 0x0100, 0x0200, 0xFA00)


def serve(server, listener):
    """Serve one connection to its end."""
    link, _ = listener.accept()
    with link:
        link.settimeout(30)
        while octets := link.recv(65536):
            reply = Reply(octets)
            server.handleRequest(reply)
            if reply.reply:
                link.sendall(bytes(reply.reply))


def main(ask, answers):
    server = Server(ask)
    name = GXDLMSData("0.0.42.0.0.255")
    name.value = ask["name"].encode()
    register = GXDLMSRegister(ask["energy"])
    register.value = 123_456
    register.scaler, register.unit = 1, 30
    clock = GXDLMSClock("0.0.1.0.0.255")
    clock.time = GXDateTime(dt.datetime.fromisoformat(ask["time"]))
    association = GXDLMSAssociationLogicalName("0.0.40.0.0.255")
    if ask.get("short_names"):
        mend_short_names()
        association = GXDLMSAssociationShortName("0.0.40.0.0.255")
    for thing, base_name in zip((name, register, clock, association), BASE_NAMES, strict=True):
        server.items.append(thing)
        association.objectList.append(thing)  # an empty list would be filled, in a way that fails
        if ask.get("short_names"):
            thing.shortName = base_name
    server.initialize()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)
    print(listener.getsockname()[1], file=answers, flush=True)
    for _ in range(ask.get("connections", 1)):
        server.reset()
        serve(server, listener)


answers, sys.stdout = sys.stdout, open(os.devnull, "w")  # the library prints as it deciphers
main(json.loads(sys.argv[1]), answers)
