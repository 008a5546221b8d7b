# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN001, ANN201, ANN202
"""dlms-cosem reads a meter; runs only under .venv-peers, as a process of its own.

One JSON object as argument says how to associate; one JSON object on standard output says what
was read.
"""

import datetime as dt
import json
import logging
import sys

import structlog
from dlms_cosem import cosem, enumerations, utils
from dlms_cosem.client import DlmsClient
from dlms_cosem.cosem.capture_object import CaptureObject
from dlms_cosem.cosem.selective_access import RangeDescriptor
from dlms_cosem.io import BlockingTcpIO, HdlcTransport, TcpTransport
from dlms_cosem.security import (
    HighLevelSecurityGmacAuthentication,
    LowLevelSecurityAuthentication,
    NoSecurityAuthentication,
)
from dlms_cosem.time import datetime_from_bytes

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

Interface = enumerations.CosemInterface


def attribute(interface, obis, index):
    """An attribute of an object."""
    instance = cosem.Obis(*(int(group) for group in obis.split(".")))
    return cosem.CosemAttribute(interface=interface, instance=instance, attribute=index)


def utc(octets):
    """A clock value in UTC."""
    moment, _status = datetime_from_bytes(bytes(octets))
    return moment.astimezone(dt.UTC).isoformat()


def client(ask):
    """A client that associates as asked."""
    keys = {}
    if ask["mechanism"] == "none":
        authentication = NoSecurityAuthentication()
    elif ask["mechanism"] == "lls":
        authentication = LowLevelSecurityAuthentication(secret=ask["password"].encode())
    else:
        authentication = HighLevelSecurityGmacAuthentication(challenge_length=16)
        if "hdlc" in ask:
            # Version 25.1.0 takes a flag octet inside a frame for its end and then waits for ever;
            # with a challenge that does not change, none comes up by chance.
            authentication.calling_authentication_value = bytes(range(16))
        keys = {
            "encryption_key": bytes.fromhex(ask["guek"]),
            "authentication_key": bytes.fromhex(ask["gak"]),
            "client_initial_invocation_counter": ask["counter"],
        }
    addresses = {"client_logical_address": ask["client_sap"], "server_logical_address": 1}
    line = BlockingTcpIO("127.0.0.1", ask["port"], timeout=20)
    if "hdlc" in ask:
        size, physical = ask["hdlc"]["size"], ask["hdlc"]["physical"]
        addresses["server_physical_address"] = physical if size > 1 else None
        addresses["extended_addressing"] = size == 4
        transport = HdlcTransport(io=line, **addresses)
    else:
        transport = TcpTransport(io=line, **addresses)
    return DlmsClient(
        transport=transport,
        authentication=authentication,
        client_system_title=bytes.fromhex(ask["client_title"]),
        max_pdu_size=ask.get("pdu_octets", 65535),
        block_transfer=True,
        **keys,
    )


def main(ask):
    found = {}
    with client(ask).session() as meter:

        def read(interface, obis, index, access=None):
            octets = meter.get(attribute(interface, obis, index), access_descriptor=access)
            return utils.parse_as_dlms_data(octets)

        found["name"] = bytes(read(Interface.DATA, "0.0.42.0.0.255", 2)).hex()
        found["clock"] = utc(read(Interface.CLOCK, "0.0.1.0.0.255", 2))
        listed = read(Interface.ASSOCIATION_LN, "0.0.40.0.0.255", 2)
        found["objects"] = sorted(".".join(map(str, each[2])) for each in listed)
        if "energy" not in ask:
            return found  # the public client sees neither registers nor profiles
        found["scaler"], found["unit"] = read(Interface.REGISTER, ask["energy"], 3)
        found["energy"] = read(Interface.REGISTER, ask["energy"], 2)
        found["columns"] = len(read(Interface.PROFILE_GENERIC, ask["profile"], 3))
        begin, end = (dt.datetime.fromisoformat(ask[key]) for key in ("from", "to"))
        wanted = RangeDescriptor(
            restricting_object=CaptureObject(
                cosem_attribute=attribute(Interface.CLOCK, "0.0.1.0.0.255", 2), data_index=0
            ),
            from_value=begin,
            to_value=end,
        )
        rows = read(Interface.PROFILE_GENERIC, ask["profile"], 2, wanted)
        found["by_range"] = [[utc(row[0]), *row[1:]] for row in rows]
        found["all"] = len(read(Interface.PROFILE_GENERIC, ask["profile"], 2))
    return found


print(json.dumps(main(json.loads(sys.argv[1]))))
