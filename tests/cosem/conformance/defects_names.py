# SPDX-License-Identifier: Apache-2.0
"""Broken services by short name."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from cosem.conformance.defects import Damage, Defect, answering, asked, initiate, patched
from cosem.conformance.subject import Subject
from openami.cosem.classes.associations import AccessRightsElement
from openami.cosem.serving.own_association_sn import OwnAssociation
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.read import ReadBlock, ReadResponse
from openami.dlms.data import Array, OctetString
from playbooks.demo_meter import ENERGY, LDN, NOTE

_ELEMENT = re.compile(rb"\x02\x04\x10(..)", re.DOTALL)


def _another_name(request: bytes, answer: bytes) -> bytes:
    if request == bytes.fromhex("050102FA00"):
        return bytes.fromhex("0C01000906 0000280001FF")
    return answer


def _backwards(request: bytes, answer: bytes) -> bytes:
    if request[:2] == b"\x05\x03":
        found = ReadResponse.decode(answer)
        return replace(found, results=(*found.results[1:], found.results[0])).encode()
    return answer


def _confirmed_service_error(request: bytes, answer: bytes) -> bytes:
    if request[:1] == b"\x05" and answer[:3] == b"\x0c\x01\x01":
        return bytes.fromhex("0E050401")
    return answer


def _writes_everything(_: bytes, answer: bytes) -> bytes:
    return b"\x0d\x01\x00" if answer[:3] == b"\x0d\x01\x01" else answer


def _exception(request: bytes, answer: bytes) -> bytes:
    return bytes.fromhex("D80202") if request[:1] == b"\xc0" else answer


def _one_base_name(_: bytes, answer: bytes) -> bytes:
    found = _ELEMENT.findall(answer)
    if not found:
        return answer
    return _ELEMENT.sub(lambda _: b"\x02\x04\x10" + found[0], answer, count=2)


def _counts_from_0(_: bytes, answer: bytes) -> bytes:
    if answer[:3] != b"\x0c\x01\x02":
        return answer
    (block,) = ReadResponse.decode(answer).results
    assert isinstance(block, ReadBlock)
    return ReadResponse(results=(replace(block, block_number=block.block_number - 1),)).encode()


def _writes_nothing(subject: Subject, _: pytest.MonkeyPatch) -> None:
    honest = subject.serve

    def serve(own: Subject, client: int, apdu: bytes) -> bytes | None:
        return b"\x0d\x01\x00" if apdu[:1] == b"\x06" else honest(own, client, apdu)

    subject.serve = serve


def named(case: str, what: str, damage: Damage) -> Defect:
    return Defect(f"APPL_DATA_SN_{case}", what, damage, "named")


def _lacks_ldn(subject: Subject, _: pytest.MonkeyPatch) -> None:
    subject.meter._objects._made.pop(LDN.encode())


def _other_rights(_: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object list that does not let read what can be read."""
    told = OwnAssociation._access_rights

    def rights(self: OwnAssociation) -> Iterator[AccessRightsElement]:
        for each in told(self):
            closed = tuple(row._replace(access_mode=0) for row in each.attribute_access)
            yield each._replace(attribute_access=closed)

    monkeypatch.setattr(OwnAssociation, "_access_rights", rights)


def _wrong_type(subject: Subject, _: pytest.MonkeyPatch) -> None:
    thing = subject.meter[ENERGY]
    thing.octet_sources = {**thing.octet_sources, 3: lambda: b"\x11\x01"}


def _names_itself_otherwise(subject: Subject, _: pytest.MonkeyPatch) -> None:
    thing = subject.meter[NOTE]
    other = b"\x09\x06\x00\x00\x60\x01\x08\xff"
    thing.octet_sources = {**thing.octet_sources, 1: lambda: other}


def _of_another(self: OwnAssociation, _: object) -> Array:
    del self
    return Array((OctetString(b"another"),))


def cosem(case: str, what: str, damage: Damage) -> Defect:
    return Defect(f"COSEM_SN_{case}", what, damage, "named")


def _lists_nothing(request: bytes, answer: bytes) -> bytes:
    return bytes.fromhex("0C01000100") if request == bytes.fromhex("050102FA08") else answer


DEFECTS = (
    *(
        cosem(case, "has an empty object list", answering(_lists_nothing))
        for case in ("LOGICAL_NAME", "READABLE", "TYPES")
    ),
    Defect("APPL_DATA_SN_OBJECT_LIST", "has an empty list", answering(_lists_nothing), "named"),
    Defect(
        "APPL_OPEN_3_PROOF",
        "answers f(StoC) with a list of nothing",
        answering(lambda _, answer: b"\x0c\x00" if answer[:1] == b"\x0c" else answer),
        "named-hashed",
    ),
    cosem("MANDATORY", "has no logical device name", _lacks_ldn),
    cosem("LOGICAL_NAME", "calls an object otherwise than its list", _names_itself_otherwise),
    cosem("READABLE", "lets read what its list does not", _other_rights),
    cosem("TYPES", "has a scaler of another type", _wrong_type),
    cosem(
        "METHOD",
        "reads something else",
        patched(OwnAssociation, "_read_by_logicalname", _of_another),
    ),
    named("READ", "gives itself another name", answering(_another_name)),
    named("LIST", "mixes results up", answering(_backwards)),
    named("N1", "says ConfirmedServiceError", answering(_confirmed_service_error)),
    named("N2", "writes what is not there", answering(_writes_everything)),
    named("N3", "says exception-response", answering(_exception)),
    named("OBJECT_LIST", "gives two objects one base name", answering(_one_base_name)),
    named("BLOCKS", "counts blocks from 0", answering(_counts_from_0)),
    named(
        "CONFORMANCE",
        "serves what was not negotiated",
        initiate(proposed_conformance=Conformance.READ | Conformance.MULTIPLE_REFERENCES),
    ),
    named("WRITE", "says success and writes nothing", _writes_nothing),
    named(
        "UNCONFIRMED",
        "answers what wants no answer",
        asked(lambda apdu: b"\x06" + apdu[1:] if apdu[:1] == b"\x16" else apdu),
    ),
)
