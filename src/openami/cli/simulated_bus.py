# SPDX-License-Identifier: Apache-2.0
"""The M-Bus of a simulated meter: one gas meter on each channel, which answers what it is asked.

It is found at whatever address it is looked for, and sends just those records that the capture
definition of its channel names, in the form that they name: numbers that grow a little by the
hour.  A key that it was sent encrypts its answers, and nobody reads them until the client has
been given a key too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.mbus_client import (
    Deinstall,
    Header,
    Install,
    MbusRequest,
    MbusSlave,
    Read,
    TransferKey,
    UseKey,
)
from openami.cosem.behaviour.mbus_records import MbusRecord, encode_record
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import Data, Float32, Long64, OctetString
from openami.dlms.obis import Obis

FIRST_ADDRESS: Final = 1
GAS: Final = 0x03
"""Device type of EN 13757-3."""
ENCRYPTED: Final = 0x0510
"""Configuration word: mode 5, one encrypted block."""
_HOUR_US: Final = 3_600_000_000
_BCD: Final = frozenset({0x9, 0xA, 0xB, 0xC, 0xE})
_INTEGERS: Final = frozenset({0x1, 0x2, 0x3, 0x4, 0x6, 0x7})
_MOST: Final = 100
"""What fits every form, one octet of decimals too."""


@dataclass(slots=True)
class TrialBus:
    """The buses of one device.

    Attributes:
        now_us: The meter's calendar.
        life: The device, once it was brought to life.
    """

    now_us: Callable[[], int]
    life: Life | None = None
    _looking: dict[Obis, int] = field(default_factory=dict)

    def port(self, at: Obis) -> "TrialSlave":
        """Return the bus of one M-Bus client, as an `MbusPort`."""
        return TrialSlave(self, at)

    def look(self, at: Obis, address: int) -> None:
        """Look for a slave; what is found is told by `settle`."""
        self._looking[at] = address or FIRST_ADDRESS

    def settle(self) -> None:
        """Tell clients which slaves were found."""
        while self._looking:
            at, address = self._looking.popitem()
            self.client(at).installed(address, header_of(at, 0, is_encrypted=False))

    def client(self, at: Obis) -> MbusSlave:
        """Return an M-Bus client at work.

        Raises:
            Refused: It does not work.
        """
        found = None if self.life is None else self.life.acting.get(at)
        if not isinstance(found, MbusSlave):
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        return found


@dataclass(slots=True)
class TrialSlave:
    """The gas meter of one channel, and the bus to it."""

    bus: TrialBus
    at: Obis
    _is_encrypted: bool = False
    _is_readable: bool = False
    _access_number: int = 0

    def request(self, asked: MbusRequest) -> None:
        """Do what is asked: at once, but for looking for a slave."""
        match asked:
            case Install(address):
                self.bus.look(self.at, address)
            case Deinstall():
                self._is_encrypted = self._is_readable = False
            case UseKey(_, key):
                self._is_readable = bool(key)
            case TransferKey():
                self._is_encrypted = True
            case Read():
                self._read()
            case _:
                pass  # its clock, and what is sent to it, it takes without a word

    def _read(self) -> None:
        if self._is_encrypted and not self._is_readable:
            raise Refused(ActionResult.OTHER_REASON)
        client, now_us = self.bus.client(self.at), self.bus.now_us()
        self._access_number = (self._access_number + 1) & 0xFF
        header = header_of(self.at, self._access_number, is_encrypted=self._is_encrypted)
        hours = now_us // _HOUR_US % _MOST
        records = [
            encode_record(MbusRecord(bytes(dib), bytes(vib), value_for(bytes(dib), hours)))
            for dib, vib in client.thing.capture_definition
        ]
        client.answered(header, b"".join(records), now_us)


def header_of(at: Obis, access_number: int, *, is_encrypted: bool) -> Header:
    """Return who the slave of a channel is."""
    return Header(
        identification_number=0x1234_5600 + at.b,
        manufacturer_id=0x3C2D,  # OAM
        device_version=1,
        device_type=GAS,
        access_number=access_number,
        configuration=ENCRYPTED if is_encrypted else 0,
    )


def value_for(dib: bytes, number: int) -> Data:
    """Return a number in the form that the data information block names."""
    form = dib[0] & 0x0F if dib else 0
    if form in _INTEGERS or form in _BCD:
        return Long64(number)
    if form == 0x5:
        return Float32(number)
    if form == 0xD:
        return OctetString(number.to_bytes(1))
    return None
