# SPDX-License-Identifier: Apache-2.0
"""An M-Bus client: a meter behind this one, installed, read and keyed (4.8.3).

DLMS UA 1000-1 Ed. 12, 4.8.3; EN 13757-3.  Nothing is sent here: requests go to an `MbusPort`, and
the host tells `MbusSlave` what the slave answered, or that it did not.  `KEY_TRANSITIONS` is the
life of the slave's key.

Captured values, in the order of the capture definition, are shown by the M-Bus value objects of
the channel: 0.b.24.2.1 for the first, and so on.  Our reading, where sources say little: an alarm
is a bit of the slave's status beyond the two of its application, and stands until it is reset.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Final, Protocol, TypeAlias, runtime_checkable

from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.behaviour.mbus_records import MbusRecord, encode_record, read_records
from openami.cosem.behaviour.results import as_action, no_argument
from openami.cosem.classes.mbus import (
    EncryptionKeyStatus,
    MBusClient,
    MBusClientV1,
    MBusData,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis


@dataclass(frozen=True, slots=True)
class Install:
    """Look for a slave at a primary address; 0 means any, and lets the port choose one."""

    primary_address: int


@dataclass(frozen=True, slots=True)
class Deinstall:
    """Forget the slave."""

    primary_address: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read the slave's data."""

    primary_address: int


@dataclass(frozen=True, slots=True)
class SetClock:
    """Set the slave's clock to the calendar time, microseconds UTC."""

    primary_address: int
    now_us: int


@dataclass(frozen=True, slots=True)
class Send:
    """Send records to the slave."""

    primary_address: int
    records: bytes


@dataclass(frozen=True, slots=True)
class UseKey:
    """Decrypt what the slave sends with this key; none if it is empty."""

    primary_address: int
    key: bytes

    def __repr__(self) -> str:
        return f"UseKey({self.primary_address})"  # a key is never shown


@dataclass(frozen=True, slots=True)
class TransferKey:
    """Send the slave a key, as its maker or the client has wrapped it."""

    primary_address: int
    key: bytes

    def __repr__(self) -> str:
        return f"TransferKey({self.primary_address})"


MbusRequest: TypeAlias = Install | Deinstall | Read | SetClock | Send | UseKey | TransferKey


@runtime_checkable
class MbusPort(Protocol):
    """A wired or wireless M-Bus; a port of the host, which tells `MbusSlave` of answers."""

    def request(self, asked: MbusRequest) -> None:
        """Begin to do what is asked.

        Raises:
            Refused: That cannot be begun.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The fixed header of a slave's answer (EN 13757-3, 5): who it is and how it is.

    Attributes:
        identification_number: As it travels, in binary coded decimals.
        configuration: The configuration word; not 0 where the answer is encrypted.
    """

    identification_number: int
    manufacturer_id: int
    device_version: int
    device_type: int
    access_number: int = 0
    status: int = 0
    configuration: int = 0


class KeyEvent(Enum):
    """What moves the status of a slave's key."""

    SET = "set_encryption_key"
    CLEARED = "set_encryption_key, with none"
    TRANSFERRED = "transfer_key"
    USED = "the slave sent what the key opens"


_K: Final = EncryptionKeyStatus

KEY_TRANSITIONS: Final[Mapping[tuple[EncryptionKeyStatus, KeyEvent], EncryptionKeyStatus]] = {
    **{(status, KeyEvent.CLEARED): _K.NO_KEY for status in _K},
    (_K.NO_KEY, KeyEvent.SET): _K.KEY_SET,
    (_K.NO_KEY, KeyEvent.TRANSFERRED): _K.KEY_TRANSFERRED,
    (_K.KEY_SET, KeyEvent.SET): _K.KEY_SET,
    (_K.KEY_SET, KeyEvent.TRANSFERRED): _K.KEY_SET_AND_TRANSFERRED,
    (_K.KEY_SET, KeyEvent.USED): _K.KEY_IN_USE,
    (_K.KEY_TRANSFERRED, KeyEvent.SET): _K.KEY_SET_AND_TRANSFERRED,
    (_K.KEY_TRANSFERRED, KeyEvent.TRANSFERRED): _K.KEY_TRANSFERRED,
    (_K.KEY_SET_AND_TRANSFERRED, KeyEvent.SET): _K.KEY_SET,
    (_K.KEY_SET_AND_TRANSFERRED, KeyEvent.TRANSFERRED): _K.KEY_TRANSFERRED,
    (_K.KEY_SET_AND_TRANSFERRED, KeyEvent.USED): _K.KEY_IN_USE,
    (_K.KEY_IN_USE, KeyEvent.SET): _K.KEY_SET,
    (_K.KEY_IN_USE, KeyEvent.TRANSFERRED): _K.KEY_TRANSFERRED,
    (_K.KEY_IN_USE, KeyEvent.USED): _K.KEY_IN_USE,
}
"""What is not here changes nothing: a slave cannot use a key that nobody set here."""

ALARM_MASK: Final = 0xFC
"""Bits of the status that are alarms: power low, permanent and temporary error, the maker's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MbusSlaveState:
    """What of an M-Bus client a power cut must not lose."""

    primary_address: int
    header: Header
    alarm: int
    key_status: EncryptionKeyStatus
    captured_us: int | None


_NOBODY: Final = Header(identification_number=0, manufacturer_id=0, device_version=0, device_type=0)


class MbusSlave:
    """The behaviour of one M-Bus client object; an actor where it has a capture period."""

    def __init__(
        self,
        thing: MBusClient,
        port: MbusPort,
        captured: Callable[[Obis, MbusRecord, int], None],
        *,
        alarm_mask: int = ALARM_MASK,
        heard: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        """Take up a client.

        Args:
            thing: With what is captured, and how often.
            port: The bus.
            captured: Takes each captured record: the value object, the record, and when.
            alarm_mask: Bits of the status that are alarms.
            heard: Hears, in sentences, of answers that are not understood.
        """
        self.thing, self._port, self._captured = thing, port, captured
        self._alarm_mask, self._heard = alarm_mask, heard
        held = thing.values
        self._now_us = 0
        self._captured_us: int | None = None
        self._installing = False
        self.address: int = held.get(5, 0)
        self.header = Header(
            identification_number=held.get(6, 0),
            manufacturer_id=held.get(7, 0),
            device_version=held.get(8, 0),
            device_type=held.get(9, 0),
        )
        self.alarm: int = held.get(12, 0)
        self.key_status = EncryptionKeyStatus(held.get(14, EncryptionKeyStatus.NO_KEY))

    @property
    def is_installed(self) -> bool:
        """Whether there is a slave."""
        return self.address != 0

    def due_us(self) -> int | None:
        period_s = self.thing.capture_period
        if not self.is_installed or not period_s:
            return None
        if self._captured_us is None:
            return self._now_us
        return self._captured_us + period_s * SECOND_US

    def tick(self, now_us: int) -> None:
        if self._captured_us is not None and self._captured_us > now_us:
            self._captured_us = None  # the clock was set back
        self._now_us = now_us
        due = self.due_us()
        if due is not None and due <= now_us:
            period_us = self.thing.capture_period * SECOND_US
            self._captured_us = now_us - now_us % period_us
            try:
                self._port.request(Read(self.address))
            except Refused as refused:
                self._heard(f"the slave at {self.address} was not read: {refused}")

    # Methods.

    def install(self, primary_address: int) -> None:
        """Look for a slave."""
        if self.is_installed or self._installing:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        if primary_address > 250:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        self._port.request(Install(primary_address))
        self._installing = True

    def deinstall(self) -> None:
        """Forget the slave, its key and its alarms."""
        self._port.request(Deinstall(self._installed()))
        self._forget()

    def capture(self) -> None:
        """Read the slave now."""
        self._port.request(Read(self._installed()))

    def reset_alarm(self) -> None:
        """Forget the alarms."""
        self.alarm = 0

    def synchronize_clock(self) -> None:
        """Set the slave's clock to the time that was told last."""
        self._port.request(SetClock(self._installed(), self._now_us))

    def data_send(self, values: tuple[MBusData, ...]) -> None:
        """Send values to the slave."""
        try:
            records = b"".join(encode_record(MbusRecord(*each)) for each in values)
        except ValueError:
            raise Refused(ActionResult.TYPE_UNMATCHED) from None
        self._port.request(Send(self._installed(), records))

    def set_encryption_key(self, key: bytes) -> None:
        """Use a key for what the slave sends; none if it is empty."""
        self._port.request(UseKey(self._installed(), key))
        self._follow(KeyEvent.SET if key else KeyEvent.CLEARED)

    def transfer_key(self, key: bytes) -> None:
        """Send a wrapped key to the slave."""
        self._port.request(TransferKey(self._installed(), key))
        self._follow(KeyEvent.TRANSFERRED)

    def shown(self, member: str) -> int:
        """Return one member of the header."""
        value: int = getattr(self.header, member)
        return value

    def expect(self, member: str, value: int) -> None:
        """Take one member of the header of the slave that is to be installed.

        Raises:
            Refused: There is a slave already, and what it is it says itself.
        """
        if self.is_installed:
            raise Refused(DataAccessResult.READ_WRITE_DENIED)
        members = {member: value}
        self.header = replace(self.header, **members)

    def _installed(self) -> int:
        if not self.is_installed:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        return self.address

    def _follow(self, event: KeyEvent) -> None:
        self.key_status = KEY_TRANSITIONS.get((self.key_status, event), self.key_status)

    def _forget(self) -> None:
        self.address, self.header, self.alarm = 0, _NOBODY, 0
        self.key_status, self._captured_us = EncryptionKeyStatus.NO_KEY, None
        self._installing = False

    # What the host tells.

    def installed(self, primary_address: int, header: Header) -> None:
        """Hear that a slave was found."""
        self._installing = False
        self.address, self.header = primary_address, header

    def not_installed(self) -> None:
        """Hear that no slave was found."""
        self._installing = False

    def answered(self, header: Header, records: bytes, now_us: int) -> None:
        """Hear what the slave sent, decrypted.

        Args:
            header: Its fixed header.
            records: Its data records.
            now_us: Calendar time, microseconds UTC.
        """
        self.header = header
        self.alarm |= header.status & self._alarm_mask
        if header.configuration:
            self._follow(KeyEvent.USED)
        try:
            found = read_records(records)
        except DecodeError as error:
            self._heard(f"records of the slave at {self.address} are not understood: {error}")
            return
        known: dict[tuple[bytes, ...], MbusRecord] = {each[:2]: each for each in reversed(found)}
        channel = self.thing.logical_name.b
        for number, wanted in enumerate(self.thing.capture_definition, 1):
            record = known.get(tuple(wanted))
            if record is None:
                self._heard(f"the slave at {self.address} sends no value {number}")
            else:
                self._captured(Obis(0, channel, 24, 2, number, 255), record, now_us)

    # What must not be lost.

    def state(self) -> MbusSlaveState:
        """Return what must not be lost."""
        return MbusSlaveState(
            primary_address=self.address,
            header=self.header,
            alarm=self.alarm,
            key_status=self.key_status,
            captured_us=self._captured_us,
        )

    def restore(self, state: MbusSlaveState) -> None:
        """Go on from a state."""
        self.address, self.header, self.alarm = state.primary_address, state.header, state.alarm
        self.key_status, self._captured_us = state.key_status, state.captured_us


def mbus_client(slave: MbusSlave) -> MbusSlave:
    """Bind an M-Bus client object of any version."""
    thing, declared = slave.thing, MBusClient

    def denied(_value: int) -> None:
        raise Refused(DataAccessResult.READ_WRITE_DENIED)

    thing.bind(declared.primary_address, lambda: slave.address, denied)
    for row in (
        declared.identification_number,
        declared.manufacturer_id,
        declared.device_version,
        declared.device_type,
    ):
        thing.bind(row, partial(slave.shown, row.name), partial(slave.expect, row.name))
    thing.bind(declared.access_number, lambda: slave.header.access_number)
    thing.bind(declared.status, lambda: slave.header.status)
    thing.bind(declared.alarm, lambda: slave.alarm)
    if isinstance(thing, MBusClientV1):
        thing.bind(MBusClientV1.configuration, lambda: slave.header.configuration)
        thing.bind(MBusClientV1.encryption_key_status, lambda: slave.key_status)
    thing.bind_method(declared.slave_install, as_action(slave.install))
    for method, action in (
        (declared.slave_deinstall, slave.deinstall),
        (declared.capture, slave.capture),
        (declared.reset_alarm, slave.reset_alarm),
        (declared.synchronize_clock, slave.synchronize_clock),
    ):
        thing.bind_method(method, as_action(no_argument(action)))
    thing.bind_method(declared.data_send, as_action(slave.data_send))
    thing.bind_method(declared.set_encryption_key, as_action(slave.set_encryption_key))
    thing.bind_method(declared.transfer_key, as_action(slave.transfer_key))
    return slave
