# SPDX-License-Identifier: Apache-2.0
"""General block transfer between client and server: both directions, windows, losses, limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem.asking.access import Read
from openami.cosem.asking.association import ALL_SERVICES
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register
from openami.cosem.refusals import (
    ExceptionResponseError,
    TooLongError,
    UnexpectedAnswerError,
)
from openami.cosem.server import MALFORMED, NOT_POSSIBLE, NOT_SUPPORTED, TOO_LONG
from openami.cosem.serving.blocks import LONGEST_REQUEST_OCTETS
from openami.dlms.apdu.block import GeneralBlockTransfer, cut
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.block_transfer import MAX_REPEATS
from openami.dlms.data import Array, OctetString
from openami.dlms.errors import SecurityError
from playbooks.demo_meter import (
    ENERGY,
    LOAD_PROFILE,
    MANAGER,
    NOTE,
    READER,
    DemoMeter,
    Link,
    Sap,
    associated,
    row,
)
from playbooks.lossy import Lossy

BLOCKS_OF_SERVICES = (
    Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
)
WHOLE = Array(row(index) for index in range(100))
LONG_NOTE = OctetString(bytes(range(256)) * 12)
BLOCK = GeneralBlockTransfer.TAG


def opened(client_sap: Sap = MANAGER, **changes: Any) -> Link:
    terms: dict[str, Any] = {"conformance": ALL_SERVICES, "max_receive_pdu_octets": 200}
    return associated(client_sap, **(terms | changes))


def blocks(link: Link) -> list[GeneralBlockTransfer]:
    return [GeneralBlockTransfer.decode(each) for each in link.wire if each[0] == BLOCK]


@pytest.mark.parametrize("client_sap", [MANAGER, READER])
@pytest.mark.parametrize("proposed", [ALL_SERVICES, ALL_SERVICES & ~BLOCKS_OF_SERVICES])
def test_a_long_answer_comes_in_blocks(client_sap: Sap, proposed: Conformance) -> None:
    link = opened(client_sap, conformance=proposed, block_window=5)
    link.wire.clear()
    assert link.run(link.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE)) == WHOLE
    assert {each[0] for each in link.wire} == {BLOCK}
    assert max(map(len, link.wire)) <= 200
    told = [each for each in blocks(link) if each.window == 5]  # by the client
    # The first block tells the window, and so the answer streams: one word for five blocks.
    assert len(told) == 1 + -(-(len(link.wire) - len(told)) // 5)


def test_a_short_answer_comes_in_one_piece_once_the_client_is_known() -> None:
    link = opened()
    link.run(link.client.get(Register.value, at=ENERGY))
    assert {each[0] for each in link.wire[-3:]} == {BLOCK}
    link.wire.clear()
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    assert [each[0] for each in link.wire] == [0xC8, 0xCC]
    assert link.run(link.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE)) == WHOLE
    assert link.wire[2][0] == 0xC8, "a request that fits goes as it is"
    assert {each[0] for each in link.wire[3:]} == {BLOCK}


@pytest.mark.parametrize("client_sap", [MANAGER, READER])
def test_who_has_not_sent_a_block_is_answered_in_those_of_the_service(client_sap: Sap) -> None:
    link = opened(client_sap, general_blocks=False)
    assert link.run(link.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE)) == WHOLE
    assert not blocks(link)


def test_what_has_no_blocks_of_its_own_goes_in_general_ones_at_once() -> None:
    link = opened(general_blocks=False)
    (found,) = link.run(link.client.access([Read(ProfileGeneric.buffer, LOAD_PROFILE)]))
    assert found.value == WHOLE
    first = blocks(link)[0]
    assert (first.block_number, first.streaming, first.last_block) == (1, False, False)


@pytest.mark.parametrize("general_blocks", [True, False])
def test_a_long_value_goes_in_blocks(*, general_blocks: bool) -> None:
    link = opened(general_blocks=general_blocks)
    link.run(link.client.set(Data.value, LONG_NOTE, at=NOTE))
    assert link.meter[NOTE].values[2] == LONG_NOTE
    assert link.run(link.client.get(Data.value, at=NOTE)) == LONG_NOTE
    assert bool(blocks(link)) is general_blocks
    assert max(map(len, link.wire)) <= 1024


def test_a_list_longer_than_an_apdu_goes_in_blocks_both_ways() -> None:
    link = opened(READER, max_receive_pdu_octets=64)
    rows = [(Register.value, ENERGY)] * 150
    assert len(link.run(link.client.get_list(rows))) == 150
    assert max(map(len, link.wire)) <= 1024


def test_an_unconfirmed_request_may_be_long() -> None:
    link = opened()
    link.run(link.client.set(Data.value, LONG_NOTE, at=NOTE, confirmed=False))
    assert link.meter[NOTE].values[2] == LONG_NOTE
    assert blocks(link)[-1].block_data == b""
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


@given(
    st.frozensets(st.integers(0, 120), max_size=MAX_REPEATS),
    st.frozensets(st.integers(0, 120), max_size=6),
    st.integers(1, 63),
)
def test_lost_and_doubled_blocks_change_nothing(
    lost: frozenset[int], doubled: frozenset[int], window: int
) -> None:
    """Writing must happen once: the counter of a doubled request would be refused."""
    line = Lossy(opened(block_window=window))
    client = line.link.client
    line.run(client.get(Register.value, at=ENERGY))  # from here on both know each other
    line.crossed, line.lost, line.doubled = 0, lost, doubled
    line.run(client.set(Data.value, LONG_NOTE, at=NOTE))
    assert line.link.meter[NOTE].values[2] == LONG_NOTE


@pytest.mark.parametrize("lost", range(30))
def test_every_block_of_an_answer_may_be_lost_once(lost: int) -> None:
    line = Lossy(opened(block_window=4))
    client = line.link.client
    line.run(client.set(Data.value, LONG_NOTE, at=NOTE))
    line.lost = frozenset({line.crossed + lost})
    if lost == 0:  # the request itself goes in one piece, and nobody repeats that
        with pytest.raises(TimeoutError):
            line.run(client.get(Data.value, at=NOTE))
        return
    assert line.run(client.get(Data.value, at=NOTE)) == LONG_NOTE


def test_silence_ends_a_transfer_after_some_repeats() -> None:
    line = Lossy(opened())
    line.lost = range(2, 2000)
    with pytest.raises(TimeoutError):
        line.run(line.link.client.set(Data.value, LONG_NOTE, at=NOTE))
    assert line.crossed == 2 + 3 * (1 + MAX_REPEATS)  # three blocks were left to send


def test_a_request_in_a_block_is_refused_as_any_other() -> None:
    link = opened()
    forged = bytearray(link.client.channel.protect(bytes.fromhex("C001C1000100002A0000FF0200")))  # type: ignore[union-attr]
    forged[-1] ^= 1
    (block,) = cut(bytes(forged), 500)
    confirmed = GeneralBlockTransfer(
        last_block=True, streaming=False, window=1, block_number=1, block_data=block.block_data
    )
    answer = GeneralBlockTransfer.decode(link.send(confirmed.encode()))
    assert answer.block_data == bytes.fromhex("D80105")  # deciphering-error


@pytest.mark.parametrize(
    ("apdu", "answer"),
    [
        ("E0", MALFORMED),
        ("E081 0001 0000 05 00", MALFORMED),
        ("E081 0001 0007 01 00", MALFORMED),  # acknowledges what was never sent
        ("E081 0001 0000 01 FF", None),
    ],
)
def test_what_is_no_block_ends_nothing(apdu: str, answer: bytes | None) -> None:
    link = opened(READER)
    found = link.send(bytes.fromhex(apdu))
    if answer is None:
        assert GeneralBlockTransfer.decode(found).block_data == NOT_SUPPORTED
    else:
        assert found == answer
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


def test_blocks_have_no_place_without_negotiation() -> None:
    link = associated(READER)
    assert link.send(bytes.fromhex("E081 0001 0000 01 FF")) == NOT_SUPPORTED
    link = Link(DemoMeter())
    assert link.send(bytes.fromhex("E081 0001 0000 01 FF")) == NOT_POSSIBLE
    plain = ALL_SERVICES & ~BLOCKS_OF_SERVICES & ~Conformance.GENERAL_BLOCK_TRANSFER
    link = opened(conformance=plain)
    with pytest.raises(TooLongError, match="a write request has"):
        link.run(link.client.set(Data.value, LONG_NOTE, at=NOTE))
    link = associated(READER)
    link.send = lambda _apdu: bytes.fromhex("E081 0001 0000 01 FF")  # type: ignore[method-assign]
    with pytest.raises(UnexpectedAnswerError, match="a block, though none were negotiated"):
        link.run(link.client.get(Register.value, at=ENERGY))


def test_a_request_that_grows_too_long_is_stopped() -> None:
    link = opened(READER)
    pieces = cut(bytes(LONGEST_REQUEST_OCTETS + 1), 1000)
    answers = [link.server.receive(READER, each.encode()) for each in pieces]
    assert answers.count(MALFORMED) == 1
    too_long = GeneralBlockTransfer(
        last_block=True, streaming=False, block_number=1, block_data=bytes(1100)
    )
    assert link.send(too_long.encode()) == TOO_LONG
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


@given(st.binary(max_size=40))
def test_any_octets_are_answered_or_left(octets: bytes) -> None:
    for link in HOSTILE:
        answer = link.server.receive(link.client_sap, b"\xe0" + octets)
        while answer is not None:
            assert answer[:1] in {b"\xe0", b"\xd8"}
            answer = link.server.following()
        assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


HOSTILE = [opened(READER, rows=0), opened(MANAGER, rows=0)]


def test_another_request_ends_a_transfer_half_way() -> None:
    link = opened(READER)
    link.run(link.client.get(Register.value, at=ENERGY))
    steps = link.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE)
    first = link.send(next(steps))
    assert first[0] == BLOCK
    steps.close()
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    assert link.run(link.client.get(ProfileGeneric.buffer, at=LOAD_PROFILE)) == WHOLE


def test_an_exception_ends_a_transfer_at_the_client() -> None:
    link = opened(READER)
    steps = link.client.set(Data.value, LONG_NOTE, at=NOTE)
    next(steps)
    with pytest.raises(ExceptionResponseError, match="operation-not-possible"):
        steps.send(NOT_POSSIBLE)


def test_blocks_that_hold_something_forged_are_refused_at_the_client() -> None:
    link = opened()
    steps = link.client.get(Register.value, at=ENERGY)
    next(steps)
    forged = GeneralBlockTransfer(
        last_block=True,
        streaming=False,
        window=1,
        block_number=1,
        block_number_ack=1,
        block_data=bytes.fromhex("CC 12 30 00000000") + bytes(13),
    )
    farewell = steps.send(forged.encode())
    assert GeneralBlockTransfer.decode(farewell).block_number_ack == 1
    with pytest.raises(SecurityError):
        steps.send(b"")
