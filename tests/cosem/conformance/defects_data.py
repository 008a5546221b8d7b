# SPDX-License-Identifier: Apache-2.0
"""Broken services and broken objects."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from cosem.conformance.defects import Damage, Defect, answering, asked, initiate, patched
from cosem.conformance.subject import MONITOR, Subject
from openami.cosem.classes.measurement import Data, Register
from openami.cosem.classes.time_event import Clock
from openami.cosem.model import InterfaceClass, Refused
from openami.cosem.rights import View
from openami.cosem.serving.profile import EncodedRows, MemoryBuffer
from openami.cosem.serving.services import ServiceContext
from openami.cosem.serving.writing import Incoming
from openami.dlms import data as axdr_data
from openami.dlms.apdu.access import AccessResponse
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import DataBlock
from openami.dlms.apdu.get import GetRequestNext, GetResponseWithDatablock, GetResponseWithList
from openami.dlms.data import DoubleLongUnsigned, OctetString, Unsigned
from openami.dlms.obis import Obis
from playbooks.demo_meter import CLOCK, ENERGY, NOTE, SAPS


def _other_id(request: bytes, answer: bytes) -> bytes:
    if request[:1] == b"\xc0" and answer[:2] == b"\xc4\x01":
        return answer[:2] + bytes((0xC1,)) + answer[3:]
    return answer


def _succeeds(tag: int) -> Damage:
    """A server whose refusals of one service look like success."""

    def change(_: bytes, answer: bytes) -> bytes:
        if answer[:2] == bytes((tag, 1)):
            if tag == 0xC4 and answer[3] == 1:
                return answer[:3] + b"\x00\x00"
            if tag == 0xC5:
                return answer[:3] + b"\x00"
            if tag == 0xC7:
                return answer[:3] + b"\x00\x00"
        return answer

    return answering(change)


def _reads_short_names(request: bytes, answer: bytes) -> bytes:
    return bytes.fromhex("0C0100090100") if request[:1] == b"\x05" else answer


def _reversed_list(_: bytes, answer: bytes) -> bytes:
    if answer[:2] != b"\xc4\x03":
        return answer
    found = GetResponseWithList.decode(answer)
    return replace(found, results=(found.results[1], *found.results[1:])).encode()


def _counts_from_0(_: bytes, answer: bytes) -> bytes:
    if answer[:2] != b"\xc4\x02":
        return answer
    block = GetResponseWithDatablock.decode(answer)
    return replace(block, block_number=block.block_number - 1).encode()


def _any_block(apdu: bytes) -> bytes:
    if apdu[:2] != b"\xc0\x02":
        return apdu
    return replace(GetRequestNext.decode(apdu), block_number=1).encode()


def _block_from_nowhere(request: bytes, answer: bytes) -> bytes:
    if request[:2] != b"\xc0\x02":
        return answer
    block = GetResponseWithDatablock.decode(answer)
    return replace(block, result=b"\x00").encode()


def _set_does_nothing(subject: Subject, _: pytest.MonkeyPatch) -> None:
    honest = subject.serve

    def serve(own: Subject, client: int, apdu: bytes) -> bytes | None:
        if apdu[:2] == b"\xc1\x01":
            return b"\xc5\x01" + apdu[2:3] + b"\x00"
        return honest(own, client, apdu)

    subject.serve = serve


def _takes_any_type(self: InterfaceClass, row: object, data: object) -> None:
    self.values[row.index] = data  # type: ignore[attr-defined]


def _last_block_does_nothing(subject: Subject, _: pytest.MonkeyPatch) -> None:
    honest = subject.serve

    def serve(own: Subject, client: int, apdu: bytes) -> bytes | None:
        if apdu[:2] == b"\xc1\x03":
            return b"\xc5\x03" + apdu[2:3] + b"\x00" + apdu[4:8]
        return honest(own, client, apdu)

    subject.serve = serve


def _takes_any_block(self: Incoming[object], block: DataBlock) -> bool:
    self.octets += block.raw_data
    return True


def _always_confirmed(apdu: bytes) -> bytes:
    if apdu[:1] == b"\xc1":
        return apdu[:2] + bytes((apdu[2] | 0x40,)) + apdu[3:]
    return apdu


def _release_is_a_word(subject: Subject, _: pytest.MonkeyPatch) -> None:
    honest = subject.serve

    def serve(own: Subject, client: int, apdu: bytes) -> bytes | None:
        if apdu[:1] == b"\x62":
            return bytes.fromhex("6303800100")
        return honest(own, client, apdu)

    subject.serve = serve


def _never_lost(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(subject.server), "lost", lambda *_: None)


def _seen_twice(self: View) -> Iterator[InterfaceClass]:
    found = [each for each in self._objects.values() if self.rights(each)]
    yield from (*found, found[0])


def _without_saps(subject: Subject, _: pytest.MonkeyPatch) -> None:
    subject.meter._objects._made.pop(SAPS.encode())


def _other_name(subject: Subject, _: pytest.MonkeyPatch) -> None:
    other = OctetString(Obis(0, 0, 96, 1, 8, 255).encode())
    subject.meter[NOTE].bind_octets(Data.logical_name, lambda: axdr_data.encode(other))


def _two_types(subject: Subject, _: pytest.MonkeyPatch) -> None:
    monitor = subject.meter[MONITOR]
    monitor.values[2] = (DoubleLongUnsigned(100), Unsigned(200))


def _wrong_unit(subject: Subject, _: pytest.MonkeyPatch) -> None:
    meter = subject.meter[ENERGY]
    meter.bind_octets(Register.scaler_unit, lambda: axdr_data.encode(Unsigned(30)))


def _promises(request: bytes, answer: bytes) -> bytes:
    note = b"\x00\x01" + NOTE.encode() + b"\x02"
    if request[:2] == b"\xc0\x01" and request[3:12] == note:
        return bytes((0xC4, 1, request[2], 1, 3))
    return answer


def _gives_secrets(request: bytes, answer: bytes) -> bytes:
    if request[:1] == b"\xc0" and answer[:2] == b"\xc4\x01" and answer[3:] == b"\x01\x03":
        return answer[:3] + b"\x00\x09\x03key"
    return answer


def _silent_about_halves(request: bytes, answer: bytes) -> bytes | None:
    return None if request[:1] == b"\xd9" and answer[:1] == b"\xd8" else answer


def _all_well(_: bytes, answer: bytes) -> bytes:
    if answer[:1] != b"\xda":
        return answer
    found = AccessResponse.decode(answer)
    return replace(found, outcomes=(found.outcomes[0],) * len(found.outcomes)).encode()


def _takes_no_zone(subject: Subject, _: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise Refused(DataAccessResult.READ_WRITE_DENIED)

    subject.meter[CLOCK].bind_sink(Clock.time_zone, refuse)


_entries = MemoryBuffer.entries
_between = MemoryBuffer.between


def _one_off(self: MemoryBuffer, first: int, last: int) -> EncodedRows:
    return _entries(self, first + 1, last + 1) if first > 1 else _entries(self, first, last)


def _row_anyway(request: bytes, answer: bytes) -> bytes:
    if request[:2] == b"\xc0\x01" and b"\xff\xff\xff\xf0" in request:
        return answer[:3] + bytes.fromhex("00 01 01 02 01 11 00")
    return answer


def _open_range(self: MemoryBuffer, start: int | None, end: int | None) -> EncodedRows:
    return _between(self, start, None if end is None else end - 1)


def _lists_nothing(request: bytes, answer: bytes) -> bytes:
    of_list = bytes.fromhex("000F 0000280000FF 02")
    return answer[:4] + b"\x01\x00" if request[3:12] == of_list else answer


DEFECTS = (
    Defect("APPL_DATA_LN_GET", "answers under invoke-id 1", answering(_other_id), "public"),
    Defect("APPL_DATA_LN_N1", "gives null-data for what is not there", _succeeds(0xC4), "public"),
    Defect(
        "APPL_DATA_LN_ACTION_N", "carries out methods that do not exist", _succeeds(0xC7), "public"
    ),
    Defect("APPL_DATA_LN_N3", "writes what is not there", _succeeds(0xC5), "public"),
    Defect("APPL_DATA_LN_N4", "reads short names", answering(_reads_short_names), "public"),
    Defect("APPL_DATA_LN_LIST", "mixes results up", answering(_reversed_list), "public"),
    Defect("APPL_DATA_LN_GET_BLOCKS", "counts blocks from 0", answering(_counts_from_0), "public"),
    Defect(
        "APPL_DATA_LN_BLOCK_NUMBER", "does not look at block numbers", asked(_any_block), "public"
    ),
    Defect(
        "APPL_DATA_LN_NO_LONG_GET",
        "sends a block of nothing",
        answering(_block_from_nowhere),
        "public",
    ),
    Defect(
        "APPL_DATA_LN_PDU_SIZE",
        "sends APDUs of any length",
        initiate(client_max_receive_pdu_size=0xFFFF),
        "public",
    ),
    Defect(
        "APPL_DATA_LN_CONFORMANCE",
        "serves what was not negotiated",
        patched(ServiceContext, "require", lambda *_: None),
        "public",
    ),
    Defect("APPL_DATA_LN_SET", "says success and writes nothing", _set_does_nothing, "reader"),
    Defect(
        "APPL_DATA_LN_SET_TYPE",
        "takes values of any type",
        patched(InterfaceClass, "write", _takes_any_type),
        "reader",
    ),
    Defect(
        "APPL_DATA_LN_SET_BLOCKS",
        "says success and forgets the blocks",
        _last_block_does_nothing,
        "reader",
    ),
    Defect(
        "APPL_DATA_LN_SET_BLOCK_NUMBER",
        "writes though a block is missing",
        patched(Incoming, "take", _takes_any_block),
        "reader",
    ),
    Defect(
        "APPL_DATA_LN_UNCONFIRMED",
        "answers what wants no answer",
        asked(_always_confirmed),
        "reader",
    ),
    Defect("APPL_DATA_LN_ACCESS_P", "says success to every part", answering(_all_well), "public"),
    Defect(
        "APPL_DATA_LN_ACCESS_N",
        "is silent when a request is cut off",
        answering(_silent_about_halves),
        "public",
    ),
    Defect("APPL_REL_P1_RLRQ", "says RLRE and goes on", _release_is_a_word, "public"),
    Defect("APPL_REL_P1_LOWER", "keeps associations of lost connections", _never_lost, "public"),
    Defect(
        "COSEM_OBJECT_LIST",
        "lists an object twice",
        patched(View, "visible", _seen_twice),
        "public",
    ),
    *(
        Defect(f"COSEM_{case}", "has an empty object list", answering(_lists_nothing), "public")
        for case in ("LOGICAL_NAME", "READABLE", "TYPES")
    ),
    Defect("COSEM_MANDATORY", "has no SAP assignment", _without_saps, "public"),
    Defect("COSEM_LOGICAL_NAME", "has an object with another's name", _other_name, "reader"),
    Defect("COSEM_READABLE", "lists what it does not give", answering(_promises), "reader"),
    Defect("COSEM_NOT_READABLE", "gives its secret away", answering(_gives_secrets), "reader"),
    Defect("COSEM_WRITABLE", "lists what it does not take", _takes_no_zone, "manager"),
    Defect("COSEM_NOT_WRITABLE", "takes what it does not list", _succeeds(0xC5), "reader"),
    Defect("COSEM_THRESHOLDS", "has thresholds of two types", _two_types, "reader"),
    Defect("COSEM_TYPES", "writes a unit without a scaler", _wrong_unit, "reader"),
    Defect(
        "COSEM_ENTRY", "counts entries from 0", patched(MemoryBuffer, "entries", _one_off), "reader"
    ),
    Defect("COSEM_ENTRY_NONE", "gives a row that is not there", answering(_row_anyway), "reader"),
    Defect(
        "COSEM_RANGE",
        "leaves the end of a range out",
        patched(MemoryBuffer, "between", _open_range),
        "reader",
    ),
)
