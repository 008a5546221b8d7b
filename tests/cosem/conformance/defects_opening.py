# SPDX-License-Identifier: Apache-2.0
"""Broken openings."""

from dataclasses import replace

import pytest

from cosem.conformance.defects import (
    Damage,
    Defect,
    aare,
    aarq,
    answering,
    initiate,
    patched,
)
from cosem.conformance.subject import Subject, sound_meter
from openami.cosem.classes.access_control import UserListEntry
from openami.cosem.serving import association as server_association
from openami.dlms.apdu.acse import (
    Aare,
    AcseServiceUser,
    ApplicationContextName,
    AssociationResult,
)
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.association import ApplicationContext
from openami.dlms.data import VisibleString
from openami.dlms.hls import Handshake
from playbooks.demo_meter import CLIENT_TITLE, PUBLIC

USER = 7


def data_instead_of_exceptions(request: bytes, answer: bytes) -> bytes:
    """What a server says that answers GET in any state."""
    if request[:1] in {b"\xc0", b"\xc8", b"\xd0"} and answer[:1] == b"\xd8":
        return bytes.fromhex("C401C1000906") + b"a name"
    return answer


def _other_end(octets: bytes, new: bytes) -> bytes:
    return octets[: -len(new)] + new


def _with_own_qualifier(message: Aare) -> Aare:
    return replace(message, responding_ae_invocation_id=1)


def _diagnostic(old: AcseServiceUser, new: AcseServiceUser) -> Damage:
    def change(message: Aare) -> Aare:
        if message.result_source_diagnostic == old:
            return replace(message, result_source_diagnostic=new)
        return message

    return aare(change)


def _refuses_quality(request: bytes, answer: bytes) -> bytes:
    if request[:1] == b"\x60" and b"\x01\x55\x06" in request:
        return Aare(
            application_context_name=ApplicationContextName.LN.value,
            result=AssociationResult.REJECTED_PERMANENT,
            result_source_diagnostic=AcseServiceUser.NO_REASON_GIVEN,
        ).encode()
    return answer


def _grants_read(request: bytes, answer: bytes) -> bytes:
    place = answer.find(b"\x5f\x1f\x04\x00")
    if request[:1] != b"\x60" or place < 0:
        return answer
    granted = int.from_bytes(answer[place + 4 : place + 7]) | Conformance.READ
    return answer[: place + 4] + granted.to_bytes(3) + answer[place + 7 :]


def _title_is_anything(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    aarq(calling_ap_title=lambda title: title and CLIENT_TITLE)(subject, monkeypatch)


def with_users() -> Subject:
    """The demo meter, which lets user 7 in and nobody else."""
    meter = sound_meter()
    user = UserListEntry(USER, VisibleString("a fitter"))
    meter.associations[PUBLIC] = replace(meter.associations[PUBLIC], user_list=(user,))
    subject = Subject(meter)
    own = subject.declaration
    public = replace(own.associations[0], user_id=USER)
    subject.declaration = replace(own, associations=(public,))
    return subject


def _always_user_7(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    aarq(calling_ae_invocation_id=USER)(subject, monkeypatch)


DEFECTS = (
    Defect(
        "APPL_IDLE_N1",
        "answers GET without an association",
        answering(data_instead_of_exceptions),
        "public",
    ),
    Defect(
        "APPL_OPEN_1",
        "names the vaa-name of short names",
        answering(lambda q, a: _other_end(a, b"\xfa\x00") if q[:1] == b"\x60" else a),
        "public",
    ),
    Defect("APPL_OPEN_2", "lets any user in", _always_user_7, "public", with_users),
    Defect("APPL_OPEN_4", "ignores the protocol version", aarq(protocol_version=None), "public"),
    Defect(
        "APPL_OPEN_5",
        "takes any application context",
        aarq(application_context_name=ApplicationContext.LN.oid),
        "public",
    ),
    Defect("APPL_OPEN_6_P", "answers with fields of its own", aare(_with_own_qualifier), "reader"),
    Defect("APPL_OPEN_6_N", "takes titles of any length", _title_is_anything, "manager"),
    Defect(
        "APPL_OPEN_7",
        "asks for authentication where it failed",
        _diagnostic(
            AcseServiceUser.AUTHENTICATION_FAILURE, AcseServiceUser.AUTHENTICATION_REQUIRED
        ),
        "reader",
    ),
    Defect(
        "APPL_OPEN_7",
        "takes a short challenge",
        aarq(calling_authentication_value=lambda value: value and value.ljust(8)),
        "hashed",
    ),
    Defect(
        "APPL_OPEN_9",
        "lets a dedicated key in without ciphering",
        initiate(dedicated_key=None),
        "public",
    ),
    Defect("APPL_OPEN_11", "refuses a quality of service", answering(_refuses_quality), "public"),
    Defect(
        "APPL_OPEN_12",
        "does not look at the DLMS version",
        initiate(proposed_dlms_version_number=6),
        "public",
    ),
    Defect("APPL_OPEN_13_P", "grants what was not proposed", answering(_grants_read), "public"),
    Defect(
        "APPL_OPEN_13_N",
        "opens where nothing can be done",
        initiate(proposed_conformance=Conformance.GET),
        "public",
    ),
    Defect(
        "APPL_OPEN_14",
        "opens for a client that takes 11 octets",
        initiate(client_max_receive_pdu_size=1024),
        "public",
    ),
    Defect(
        "APPL_OPEN_3_PENDING",
        "answers GET before pass 3",
        answering(data_instead_of_exceptions),
        "hashed",
    ),
    Defect(
        "APPL_OPEN_3_REPLY",
        "takes any f(StoC)",
        patched(Handshake, "verify", lambda *_: None),
        "hashed",
    ),
    Defect(
        "APPL_OPEN_3_ORDER",
        "takes secret and challenge in any order",
        patched(Handshake, "verify", lambda *_: None),
        "hashed",
    ),
    Defect(
        "APPL_OPEN_3_CONTROL",
        "takes GMAC under any security control",
        patched(Handshake, "verify", lambda *_: None),
        "manager",
    ),
    Defect(
        "APPL_OPEN_3_DEDICATED",
        "takes pass 3 under the dedicated key",
        patched(server_association, "DEDICATED", frozenset()),
        "manager",
    ),
)
