# SPDX-License-Identifier: Apache-2.0
"""Meters to measure with: numbered, each with keys, an energy register and a load profile.

Client and server run in two processes and build the same street from numbers alone.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from openami.cosem.classes.measurement import Data, ProfileGeneric, Register, ScalerUnit
from openami.cosem.client import ClientParameters
from openami.cosem.device import AssociationPolicy, Ciphering, LogicalDevice, Protector
from openami.cosem.rights import ALL, Grant
from openami.cosem.serving.profile import MemoryBuffer, profile_generic
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import DoubleLongUnsigned, OctetString, Structure, Unsigned
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.keyset import KeySet

CLIENT_TITLE: Final = b"OAM\xe0\x00\x00\x00\x01"
MANAGEMENT, PUBLIC = Sap(1), Sap(16)
LAST_COUNTER: Final = 2**32 - 1

NAME: Final = Obis.parse("0.0.42.0.0.255")
CLOCK: Final = Obis.parse("0.0.1.0.0.255")
STATUS: Final = Obis.parse("0.0.96.10.1.255")
ENERGY: Final = Obis.parse("1.0.1.8.0.255")
LOAD_PROFILE: Final = Obis.parse("1.0.99.1.0.255")
CHANNELS: Final = tuple(Obis.parse(f"1.0.{code}.0.255") for code in ("1.29", "2.29", "1.8", "2.8"))

ENERGY_WH: Final = 123_456
ROWS: Final = 480  # ten days
READ_ROWS: Final = 48
START: Final = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)  # end of the first interval
PERIOD: Final = timedelta(minutes=30)

COLUMNS: Final = (
    CaptureObject(class_id=8, instance_id=CLOCK, attribute_id=2),
    CaptureObject(class_id=1, instance_id=STATUS, attribute_id=2),
    *(CaptureObject(class_id=3, instance_id=name, attribute_id=2) for name in CHANNELS),
)


def import_wh(number: int, row: int) -> int:
    """Return what meter `number` counted in interval `row`."""
    return 100 + number + row % READ_ROWS


def title(number: int) -> bytes:
    """Return a meter's system title."""
    return b"OAM" + number.to_bytes(5)


def cipher(number: int) -> Cipher:
    """Return a meter's keys, ready to use."""
    keys = sha256(title(number)).digest()
    return Cipher(KeySet(encryption_key=keys[:16], authentication_key=keys[16:]))


def device(number: int, rows: int = ROWS, ciphering: Protector | None = None) -> LogicalDevice:
    """Return meter `number`: the public client without, the management client with protection.

    Its keys are in this process unless `ciphering` has them elsewhere.
    """
    profile = ProfileGeneric(
        LOAD_PROFILE, capture_objects=COLUMNS, capture_period=1800, profile_entries=rows
    )
    management = AssociationPolicy(
        client_sap=MANAGEMENT,
        mechanism=Mechanism.HLS_GMAC,
        ciphering=ciphering
        or Ciphering(cipher=cipher(number), counters=CounterBlock(1, LAST_COUNTER)),
        grants=(Grant(read=ALL),),
    )
    return LogicalDevice(
        system_title=title(number),
        objects=(
            Data(NAME, value=OctetString(b"OAM%013d" % number)),
            Register(ENERGY, value=DoubleLongUnsigned(ENERGY_WH), scaler_unit=ScalerUnit(0, 30)),
            profile_generic(profile, _buffer(number, rows)),
        ),
        associations=(
            AssociationPolicy(client_sap=PUBLIC, grants=(Grant(at=ENERGY, read=ALL),)),
            management,
        ),
    )


def _buffer(number: int, rows: int) -> MemoryBuffer:
    buffer = MemoryBuffer(capacity=rows)
    total = 0
    for row in range(rows):
        end = START + row * PERIOD
        used = import_wh(number, row)
        total += used
        cells = (used, 0, total, 0)
        clock = OctetString(CosemDateTime.from_utc(end).encode())
        values = (DoubleLongUnsigned(cell) for cell in cells)
        time_us = int(end.timestamp()) * 1_000_000
        buffer.append(time_us, Structure((clock, Unsigned(0), *values)))
    return buffer


def parameters(number: int, *, protected: bool) -> ClientParameters:
    """Return how we associate with meter `number`."""
    if not protected:
        return ClientParameters(client_sap=PUBLIC)
    return ClientParameters(
        client_sap=MANAGEMENT,
        mechanism=Mechanism.HLS_GMAC,
        cipher=cipher(number),
        system_title=CLIENT_TITLE,
        server_title=title(number),
    )
