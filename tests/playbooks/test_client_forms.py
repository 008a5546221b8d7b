# SPDX-License-Identifier: Apache-2.0
"""The client's lists to write and to invoke, whole and in blocks, and its unconfirmed services."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.cosem.asking.association import DEFAULT_CONFORMANCE
from openami.cosem.classes.measurement import Data, Register
from openami.cosem.refusals import (
    AccessError,
    ExceptionResponseError,
    NotNegotiatedError,
    ServiceRefusedError,
    TooLongError,
    UnexpectedAnswerError,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import ABSENT
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.selective import ByEntry
from openami.dlms.data import DoubleLongUnsigned, OctetString
from openami.dlms.errors import DecodeError
from playbooks.demo_meter import ENERGY, LDN, LOAD_PROFILE, NOTE, READER, associated
from playbooks.mirror import MIRROR, Mirror, mirrored

SUCCESS = DataAccessResult.SUCCESS
NOTES = tuple(OctetString(bytes((number,)) * 300) for number in range(6))


@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_a_list_to_write(count: int) -> None:
    link = mirrored()
    results = link.run(link.client.set_list([(Data.value, NOTE, note) for note in NOTES[:count]]))
    assert results == [SUCCESS] * count
    if count:
        assert link.meter[NOTE].values[2] == NOTES[count - 1]
    assert max(map(len, link.wire)) <= 1024
    assert (len(link.wire) > 2) is (count > 3), "the longest travel in blocks"


def test_each_row_of_a_list_has_its_own_result() -> None:
    link = mirrored()
    rows = [
        (Data.value, NOTE, OctetString(b"a")),
        (Data.value, LDN, OctetString(b"a")),
        (Data.value, ENERGY, OctetString(b"a")),
        (Data.value, NOTE, DoubleLongUnsigned(1)),
    ]
    expected = [
        SUCCESS,
        SUCCESS,
        DataAccessResult.OBJECT_CLASS_INCONSISTENT,
        DataAccessResult.TYPE_UNMATCHED,
    ]
    found = link.run(link.client.set_list(rows))
    assert found[2:] == expected[2:]
    link = mirrored(conformance=DEFAULT_CONFORMANCE & ~Conformance.MULTIPLE_REFERENCES)
    assert link.run(link.client.set_list(rows)) == found
    assert len(link.wire) == 2 * len(rows), "one at a time"


@given(st.lists(st.integers(0, 700), max_size=6), st.integers(64, 1500))
@settings(max_examples=40, deadline=None)
def test_lists_of_methods_of_any_length(lengths: list[int], pdu_octets: int) -> None:
    link = mirrored(max_receive_pdu_octets=pdu_octets)
    rows = [(Mirror.reflect, MIRROR, bytes(length)) for length in lengths]
    outcomes = link.run(link.client.act_list(rows))
    assert [outcome.return_parameters for outcome in outcomes] == [
        bytes(length) * 2 for length in lengths
    ]
    assert max(map(len, link.wire[::2])) <= 1024
    assert max(map(len, link.wire[1::2])) <= pdu_octets


def test_each_method_of_a_list_has_its_own_outcome() -> None:
    rows = [
        (Mirror.reflect, MIRROR, b"ab"),
        (Mirror.swallow, MIRROR, b"ab"),
        (Mirror.reflect, MIRROR, b"refuse"),
        (Mirror.swallow, NOTE, b"ab"),
    ]
    for missing in (Conformance(0), Conformance.MULTIPLE_REFERENCES):
        conformance = DEFAULT_CONFORMANCE & ~missing
        link = mirrored(conformance=conformance)
        outcomes = link.run(link.client.act_list(rows))
        assert [outcome.result for outcome in outcomes] == [
            ActionResult.SUCCESS,
            ActionResult.SUCCESS,
            ActionResult.TEMPORARY_FAILURE,
            ActionResult.OBJECT_CLASS_INCONSISTENT,
        ]
        assert outcomes[0].return_parameters == b"abab"
        assert outcomes[1].return_parameters is ABSENT


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("C501C103", [DataAccessResult.READ_WRITE_DENIED] * 2),
        ("C503C10300000001", [DataAccessResult.READ_WRITE_DENIED] * 2),
        ("C505C1020003", [SUCCESS, DataAccessResult.READ_WRITE_DENIED]),
        ("C504C102000300000001", [SUCCESS, DataAccessResult.READ_WRITE_DENIED]),
        ("C505C10100", UnexpectedAnswerError),
        ("C407C10100", DecodeError),
        ("0E060400", ServiceRefusedError),
        ("D80101", ExceptionResponseError),
    ],
)
def test_answers_to_a_list_to_write(answer: str, found: Any) -> None:
    link = associated(READER)
    link.send = lambda _apdu: bytes.fromhex(answer)  # type: ignore[method-assign]
    steps = link.client.set_list([(Data.value, NOTE, NOTES[0])] * 2)
    if isinstance(found, list):
        assert link.run(steps) == found
        return
    with pytest.raises(found):
        link.run(steps)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("C701C1 03 00", [ActionResult.READ_WRITE_DENIED] * 2),
        ("C703C1 02 0000 0300", [ActionResult.SUCCESS, ActionResult.READ_WRITE_DENIED]),
        ("C702C1 01 00000001 05 02 0000 0300", [ActionResult.SUCCESS, ActionResult(3)]),
        ("C703C1 01 0000", UnexpectedAnswerError),
        ("C702C1 01 00000002 05 02 0000 0300", UnexpectedAnswerError),
    ],
)
def test_answers_to_a_list_of_methods(answer: str, found: Any) -> None:
    link = mirrored()
    link = associated(READER)
    link.send = lambda _apdu: bytes.fromhex(answer)  # type: ignore[method-assign]
    steps = link.client.act_list([(Mirror.swallow, MIRROR, b"")] * 2)
    if isinstance(found, list):
        assert [outcome.result for outcome in link.run(steps)] == found
        return
    with pytest.raises(found):
        link.run(steps)


def test_descriptors_that_do_not_fit_the_first_block() -> None:
    link = mirrored()
    rows = [(Data.value, NOTE, OctetString(b"abcdefgh"))] * 120
    with pytest.raises(TooLongError, match=r"a write request has .* and the meter takes"):
        link.run(link.client.set_list(rows))
    assert not link.wire


def test_a_list_too_long_without_blocks_is_not_sent() -> None:
    link = mirrored(conformance=DEFAULT_CONFORMANCE & ~Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE)
    with pytest.raises(TooLongError, match="a list of values to write"):
        link.run(link.client.set_list([(Data.value, NOTE, note) for note in NOTES]))
    assert not link.wire


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (Conformance.GET, "a read request needs get"),
        (Conformance.SET, "a write request needs set"),
        (Conformance.ACTION, "a method needs action"),
        (Conformance.SELECTIVE_ACCESS, "a read request needs selective-access"),
    ],
)
def test_what_was_not_negotiated_is_not_sent(missing: Conformance, words: str) -> None:
    link = mirrored(conformance=DEFAULT_CONFORMANCE & ~missing)
    client = link.client
    asked = {
        Conformance.GET: client.get(Register.value, at=ENERGY),
        Conformance.SET: client.set(Data.value, NOTES[0], at=NOTE),
        Conformance.ACTION: client.act(Mirror.swallow, b"", at=MIRROR),
        Conformance.SELECTIVE_ACCESS: client.get_raw(
            7, LOAD_PROFILE, 2, selection=ByEntry(from_entry=1)
        ),
    }
    with pytest.raises(NotNegotiatedError, match=words):
        link.run(asked[missing])
    assert not link.wire


def test_unconfirmed_services_are_done_and_not_answered() -> None:
    link = mirrored()
    link.run(link.client.set(Data.value, OctetString(b"quiet"), at=NOTE, confirmed=False))
    link.run(link.client.tell_method(Mirror.swallow, b"ab", at=MIRROR))
    assert len(link.wire) == 2
    assert link.run(link.client.get(Data.value, at=NOTE)) == b"quiet"
    with pytest.raises(AccessError):
        link.run(link.client.act(Mirror.reflect, b"refuse", at=MIRROR))
    link.run(link.client.tell_method(Mirror.reflect, b"refuse", at=MIRROR))


def test_an_unconfirmed_request_too_long_is_not_sent() -> None:
    link = mirrored()
    with pytest.raises(TooLongError):
        link.run(link.client.set(Data.value, OctetString(bytes(2000)), at=NOTE, confirmed=False))
    assert not link.wire


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("0E050302", "the meter refuses a read request: service, service-unsupported"),
        ("0E050504", "the meter refuses a read request: access, object-unavailable"),
        ("D80202", "the meter refuses a read request: service-unknown, service-not-supported"),
        ("D80104", "the meter refuses a read request: service-not-allowed, pdu-too-long"),
        ("D8010600000007", "send an invocation counter of 7 or more"),
    ],
)
def test_refusals_are_sentences(answer: str, sentence: str) -> None:
    link = associated(READER)
    link.send = lambda _apdu: bytes.fromhex(answer)  # type: ignore[method-assign]
    with pytest.raises((ServiceRefusedError, ExceptionResponseError)) as refused:
        link.run(link.client.get(Register.value, at=ENERGY))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "ask"),
    [
        ("C501C200", "set"),
        ("C503C20000000001", "set"),
        ("C505C2020000", "set_list"),
        ("C504C202000000000001", "set_list"),
        ("C701C20000", "act"),
        ("C702C2010000000101 00", "act"),
        ("C703C20200000000", "act_list"),
        ("C702C2010000000105 0200000000", "act_list"),
    ],
)
def test_success_of_another_request_is_none(answer: str, ask: str) -> None:
    link = associated(READER)
    link.send = lambda _apdu: bytes.fromhex(answer)  # type: ignore[method-assign]
    client = link.client
    asked: Any = {
        "set": client.set(Data.value, NOTES[0], at=NOTE),
        "set_list": client.set_list([(Data.value, NOTE, NOTES[0])] * 2),
        "act": client.act(Mirror.swallow, b"", at=MIRROR),
        "act_list": client.act_list([(Mirror.swallow, MIRROR, b"")] * 2),
    }[ask]
    with pytest.raises(UnexpectedAnswerError, match="invoke-id 2, not 1"):
        link.run(asked)


def test_a_refusal_need_not_repeat_the_invoke_id() -> None:
    link = associated(READER)
    link.send = lambda _apdu: bytes.fromhex("C501C003")  # type: ignore[method-assign]
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.set(Data.value, NOTES[0], at=NOTE))
