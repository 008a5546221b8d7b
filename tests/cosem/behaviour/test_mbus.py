# SPDX-License-Identifier: Apache-2.0
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.behaviour.mbus_client import (
    KEY_TRANSITIONS,
    Deinstall,
    Header,
    Install,
    KeyEvent,
    MbusRequest,
    MbusSlave,
    Read,
    Send,
    SetClock,
    TransferKey,
    UseKey,
    mbus_client,
)
from openami.cosem.behaviour.mbus_records import MbusRecord, encode_record, read_records
from openami.cosem.classes.mbus import (
    CaptureDefinitionElement,
    EncryptionKeyStatus,
    MBusClient,
    MBusClientV1,
    MBusClientV2,
    MBusData,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import (
    DoubleLong,
    Float32,
    Integer,
    Long,
    Long64,
    OctetString,
    Unsigned,
    VisibleString,
)
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

CLIENT = Obis(0, 1, 24, 1, 0, 255)
NOW = 1_772_000_000 * SECOND_US
WATER = CaptureDefinitionElement(b"\x0c", b"\x13")  # volume, 8 digits, litres
CLOCK = CaptureDefinitionElement(b"\x04", b"\x6d")  # date and time, 32 bits
RECORDS = bytes.fromhex("046D 1E2A 7B3C 0C13 78563412 2F 0F 99")
HEADER = Header(
    identification_number=0x12345678, manufacturer_id=0x1593, device_version=51, device_type=7
)


class Bus:
    def __init__(self) -> None:
        self.asked: list[MbusRequest] = []
        self.is_down = False

    def request(self, asked: MbusRequest) -> None:
        if self.is_down:
            raise Refused(ActionResult.HARDWARE_FAULT)
        self.asked.append(asked)


class Meter:
    def __init__(self, declared: Any = MBusClientV1, period_s: int = 0) -> None:
        self.thing = declared(CLIENT, capture_definition=(WATER, CLOCK), capture_period=period_s)
        self.bus, self.heard = Bus(), list[str]()
        self.captured: dict[Obis, tuple[MbusRecord, int]] = {}

        def captured(at: Obis, record: MbusRecord, now_us: int) -> None:
            self.captured[at] = (record, now_us)

        self.slave = mbus_client(MbusSlave(self.thing, self.bus, captured, heard=self.heard.append))

    def call(self, method: int, argument: Any = 0) -> None:
        self.thing.invocations[method](argument)

    def refused(self, method: int, argument: Any = 0) -> ActionResult:
        with pytest.raises(Refused) as caught:
            self.call(method, argument)
        assert isinstance(caught.value.result, ActionResult)
        return caught.value.result

    def install(self) -> None:
        self.call(1, 5)
        self.slave.installed(5, HEADER)
        self.bus.asked.clear()


@pytest.mark.parametrize("declared", [MBusClient, MBusClientV1, MBusClientV2])
def test_a_slave_is_installed_and_forgotten(declared: Any) -> None:
    meter = Meter(declared)
    for method in (2, 3, 5, 7, 8):
        assert meter.refused(method, b"" if method > 6 else 0) == ActionResult.OBJECT_UNAVAILABLE
    assert meter.refused(1, 251) == ActionResult.SCOPE_OF_ACCESS_VIOLATED
    meter.call(1, 0)
    assert meter.bus.asked == [Install(0)]
    assert meter.refused(1, 0) == ActionResult.TEMPORARY_FAILURE  # it is looked for
    meter.slave.not_installed()
    meter.call(1, 5)
    meter.slave.installed(5, HEADER)
    assert (meter.thing.primary_address, meter.thing.identification_number) == (5, 0x12345678)
    assert (meter.thing.manufacturer_id, meter.thing.device_version) == (0x1593, 51)
    assert meter.thing.device_type == 7
    assert meter.refused(1, 6) == ActionResult.TEMPORARY_FAILURE
    meter.call(2)
    assert meter.bus.asked[-1] == Deinstall(5)
    assert meter.thing.primary_address == meter.thing.identification_number == 0


def test_who_is_to_be_installed_can_be_written_before() -> None:
    meter = Meter()
    meter.thing.sinks[6](77)
    assert meter.thing.identification_number == 77
    meter.install()
    for index in (5, 6, 7, 8, 9):
        with pytest.raises(Refused) as caught:
            meter.thing.sinks[index](1)
        assert caught.value.result == DataAccessResult.READ_WRITE_DENIED


def test_values_are_captured_by_their_blocks() -> None:
    meter = Meter()
    meter.install()
    meter.call(3)
    assert meter.bus.asked == [Read(5)]
    meter.slave.answered(HEADER, RECORDS, NOW)
    first, second = Obis(0, 1, 24, 2, 1, 255), Obis(0, 1, 24, 2, 2, 255)
    assert meter.captured[first] == (MbusRecord(b"\x0c", b"\x13", DoubleLong(12345678)), NOW)
    assert meter.captured[second][0].value == DoubleLong(0x3C7B2A1E)
    assert meter.heard == []
    meter.slave.answered(HEADER, RECORDS[:6], NOW)
    assert meter.heard == ["the slave at 5 sends no value 1"]
    meter.slave.answered(HEADER, RECORDS[:4], NOW)
    assert "not understood" in meter.heard[-1]


def test_captures_come_round() -> None:
    meter = Meter(period_s=3600)
    assert meter.slave.due_us() is None
    meter.install()
    meter.slave.tick(NOW)
    assert meter.bus.asked == [Read(5)]
    due = meter.slave.due_us()
    assert due is not None
    assert NOW < due <= NOW + 3600 * SECOND_US
    assert due % (3600 * SECOND_US) == 0
    meter.slave.tick(due - 1)
    meter.slave.tick(due)
    assert meter.bus.asked == [Read(5)] * 2
    meter.bus.is_down = True
    meter.slave.tick(due + 3600 * SECOND_US)
    assert "was not read" in meter.heard[-1]


def test_alarms_stand_until_they_are_reset() -> None:
    meter = Meter()
    meter.install()
    for status in (0x08, 0x00, 0x13):
        header = Header(
            identification_number=1,
            manufacturer_id=1,
            device_version=1,
            device_type=1,
            access_number=9,
            status=status,
        )
        meter.slave.answered(header, b"", NOW)
    assert (meter.thing.alarm, meter.thing.status, meter.thing.access_number) == (0x18, 0x13, 9)
    meter.call(4)
    assert meter.thing.alarm == 0


def test_clock_data_and_keys_go_to_the_bus() -> None:
    meter = Meter()
    meter.install()
    meter.slave.tick(NOW)
    meter.call(5)
    meter.call(6, (MBusData(b"\x01", b"\x7a", Unsigned(7)), MBusData(b"\x08", b"\x13", None)))
    meter.call(7, b"key")
    meter.call(8, b"wrapped")
    assert meter.bus.asked == [
        SetClock(5, NOW),
        Send(5, bytes.fromhex("017A07 0813")),
        UseKey(5, b"key"),
        TransferKey(5, b"wrapped"),
    ]
    assert "key" not in repr(meter.bus.asked[2])
    assert "wrapped" not in repr(meter.bus.asked[3])
    assert meter.refused(6, (MBusData(b"\x01", b"\x7a", None),)) == ActionResult.TYPE_UNMATCHED
    meter.bus.is_down = True
    assert meter.refused(7, b"other") == ActionResult.HARDWARE_FAULT
    assert meter.thing.encryption_key_status is EncryptionKeyStatus.KEY_SET_AND_TRANSFERRED


@pytest.mark.parametrize(
    ("status", "event"), list(itertools.product(EncryptionKeyStatus, KeyEvent))
)
def test_every_status_of_a_key_meets_every_event(
    status: EncryptionKeyStatus, event: KeyEvent
) -> None:
    meter = Meter()
    meter.install()
    meter.slave.key_status = status
    encrypted = Header(
        identification_number=1,
        manufacturer_id=1,
        device_version=1,
        device_type=1,
        configuration=0x0510,
    )
    match event:
        case KeyEvent.SET:
            meter.call(7, b"k")
        case KeyEvent.CLEARED:
            meter.call(7, b"")
        case KeyEvent.TRANSFERRED:
            meter.call(8, b"k")
        case KeyEvent.USED:
            meter.slave.answered(encrypted, b"", NOW)
            assert meter.thing.configuration == 0x0510
    assert meter.thing.encryption_key_status is KEY_TRANSITIONS.get((status, event), status)


def test_a_power_cut_forgets_no_slave() -> None:
    meter = Meter(period_s=3600)
    meter.install()
    meter.slave.tick(NOW)
    meter.call(7, b"k")
    after = Meter(period_s=3600)
    after.slave.restore(meter.slave.state())
    assert after.slave.state() == meter.slave.state()
    assert after.slave.due_us() == meter.slave.due_us()


# Records; the examples are computed by hand from EN 13757-3, 6.3.

EXAMPLES = [
    ("01 7A 05", (b"\x01", b"\x7a", Integer(5))),
    ("02 5A 9CFF", (b"\x02", b"\x5a", Long(-100))),
    ("03 13 15 31 00", (b"\x03", b"\x13", DoubleLong(12565))),
    ("84 40 14 5E020000", (b"\x84\x40", b"\x14", DoubleLong(606))),
    ("06 06 010000000000", (b"\x06", b"\x06", Long64(1))),
    ("07 06 FFFFFFFFFFFFFFFF", (b"\x07", b"\x06", Long64(-1))),
    ("05 2E 0000C03F", (b"\x05", b"\x2e", Float32(1.5))),
    ("0A 5A 3412", (b"\x0a", b"\x5a", Long(1234))),
    ("0B 3B 5634F2", (b"\x0b", b"\x3b", DoubleLong(-23456))),
    ("0A 5A EEEE", (b"\x0a", b"\x5a", OctetString(b"\xee\xee"))),
    ("0E 06 214365870900", (b"\x0e", b"\x06", Long64(987654321))),
    ("08 13", (b"\x08", b"\x13", None)),
    ("0D FD11 03 434241", (b"\x0d", b"\xfd\x11", VisibleString("ABC"))),
    ("0D FD11 C2 3412", (b"\x0d", b"\xfd\x11", Long(1234))),
    ("0D FD11 D2 3412", (b"\x0d", b"\xfd\x11", Long(-1234))),
    ("0D FD11 E2 0102", (b"\x0d", b"\xfd\x11", OctetString(b"\x02\x01"))),
    ("01 FC 02 4C57 00 2A", (b"\x01", b"\xfc\x02LW\x00", Integer(42))),
]


@pytest.mark.parametrize(("octets", "expected"), EXAMPLES, ids=[row[0] for row in EXAMPLES])
def test_records(octets: str, expected: tuple[bytes, bytes, Any]) -> None:
    assert read_records(bytes.fromhex(octets)) == (MbusRecord(*expected),)
    whole = bytes.fromhex(octets)
    if " EEEE" not in octets and whole[0] & 0x0F != 0x0B and not {0xC2, 0xD2} & set(whole):
        assert encode_record(MbusRecord(*expected)) == whole  # others are only read
    for size in range(1, len(whole)):
        with pytest.raises(DecodeError):
            read_records(whole[:size])


@pytest.mark.parametrize("octets", ["0D13F5", "0D13C0", "4F13", "3F13"])
def test_forms_that_do_not_exist(octets: str) -> None:
    with pytest.raises(DecodeError, match="no form here"):
        read_records(bytes.fromhex(octets))


def test_extensions_end() -> None:
    with pytest.raises(DecodeError, match="more than 10 extensions"):
        read_records(b"\x81" + b"\x80" * 20)


@given(st.binary(max_size=30))
def test_any_octets_are_records_or_refused(octets: bytes) -> None:
    try:
        found = read_records(octets)
    except DecodeError:
        return
    for record in found:
        if isinstance(record.value, OctetString) and record.data_information_block[0] & 15 != 13:
            continue  # a display that is dark cannot be sent
        if record.value != record.value:
            continue
        try:
            assert read_records(encode_record(record)) == (record,)
        except ValueError:
            assert record.data_information_block[0] & 0x0F in {0x9, 0xA, 0xB, 0xC, 0xD, 0xE}


@pytest.mark.parametrize(
    "record",
    [
        (b"\x01", b"\x7a", Long(300)),
        (b"\x0a", b"\x7a", Long(-1)),
        (b"\x0a", b"\x7a", DoubleLong(10_000)),
        (b"\x05", b"\x7a", Integer(1)),
        (b"\x0d", b"\x7a", OctetString(bytes(16))),
        (b"", b"\x7a", Integer(1)),
        (b"\x01", b"\x7a", None),
    ],
)
def test_what_does_not_fit_is_not_sent(record: tuple[bytes, bytes, Any]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode_record(MbusRecord(*record))


def test_a_clock_that_is_set_back_reads_at_once() -> None:
    meter = Meter(period_s=3600)
    meter.install()
    meter.slave.tick(NOW)
    meter.slave.tick(NOW - 86_400 * SECOND_US)
    assert meter.bus.asked == [Read(5)] * 2


def test_a_slave_can_be_installed_after_another() -> None:
    meter = Meter(period_s=3600)
    meter.install()
    meter.slave.tick(NOW)
    meter.call(7, b"k")
    meter.call(2)
    assert meter.slave.due_us() is None
    assert meter.thing.encryption_key_status is EncryptionKeyStatus.NO_KEY
    meter.install()
    assert meter.thing.primary_address == 5
    assert meter.slave.due_us() == NOW  # the new one was never read
