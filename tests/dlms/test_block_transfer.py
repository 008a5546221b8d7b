# SPDX-License-Identifier: Apache-2.0
"""Confirmed general block transfer: windows, gaps, doubled blocks, silence, and limits."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.dlms.apdu.block import GeneralBlockTransfer, cut
from openami.dlms.block_transfer import (
    MAX_REPEATS,
    BlockTransfer,
    data_octets,
)
from openami.dlms.errors import LocalProtocolError, RemoteProtocolError


def asking(apdu: bytes = b"", **changes: int) -> BlockTransfer:
    end = BlockTransfer(**({"peer_pdu_octets": 17} | changes), drives=True)
    if apdu:
        end.offer(apdu)
    return end


def answering(**changes: int) -> BlockTransfer:
    return BlockTransfer(**({"peer_pdu_octets": 17} | changes), drives=False)


def block(octets: bytes) -> GeneralBlockTransfer:
    return GeneralBlockTransfer.decode(octets)


@dataclass
class Line:
    """Both ends, and a line that loses and doubles what it is told to by its number."""

    request: bytes
    response: bytes
    client: BlockTransfer
    server: BlockTransfer
    lost: frozenset[int] = frozenset()
    doubled: frozenset[int] = frozenset()
    sent: int = 0
    log: list[tuple[str, GeneralBlockTransfer]] = field(default_factory=list)
    arrived: dict[str, bytes] = field(default_factory=dict)

    def run(self) -> None:
        """Carry blocks until nothing is under way and nobody sends again."""
        self.client.offer(self.request)
        flying: deque[tuple[str, bytes]] = deque()
        self.put(flying, "server", self.client.burst())
        while flying or not self.client.is_over:
            if not flying:
                blocks = self.client.again()
                if not blocks:
                    return
                self.put(flying, "server", blocks)
                continue
            where, octets = flying.popleft()
            end = self.client if where == "client" else self.server
            apdu = end.take(block(octets))
            if apdu is not None:
                assert where not in self.arrived
                self.arrived[where] = apdu
                if where == "server":
                    self.server.offer(self.response)
            self.put(flying, "client" if where == "server" else "server", end.burst())

    def put(self, flying: deque[tuple[str, bytes]], where: str, blocks: Iterable[bytes]) -> None:
        for octets in blocks:
            number, self.sent = self.sent, self.sent + 1
            self.log.append((where, block(octets)))
            if number not in self.lost:
                flying.append((where, octets))
            if number in self.doubled:
                flying.append((where, octets))


apdus = st.binary(min_size=1, max_size=300)
windows = st.integers(1, 63)
sizes = st.integers(12, 60)
numbers = st.integers(0, 200)


@given(apdus, apdus, windows, windows, sizes, sizes)
def test_both_apdus_arrive_and_both_ends_know(  # noqa: PLR0917
    request: bytes,
    response: bytes,
    client_window: int,
    server_window: int,
    to_server: int,
    to_client: int,
) -> None:
    client = asking(peer_pdu_octets=to_server, window=client_window)
    server = answering(peer_pdu_octets=to_client, window=server_window)
    line = Line(request, response, client, server)
    line.run()
    assert line.arrived == {"server": request, "client": response}
    assert client.is_over
    assert server.is_over
    for where, each in line.log:
        assert len(each.encode()) <= (to_server if where == "server" else to_client)
        assert each.window == (client_window if where == "server" else server_window)
    # Every number went out once: nothing is repeated where nothing is lost.
    for end in ("client", "server"):
        sent = [each.block_number for where, each in line.log if where == end]
        assert sent == list(range(1, len(sent) + 1))


@given(
    apdus,
    apdus,
    windows,
    windows,
    st.frozensets(numbers, max_size=MAX_REPEATS),
    st.frozensets(numbers, max_size=8),
)
@settings(max_examples=300)
def test_whatever_is_lost_within_the_repeats_arrives_all_the_same(  # noqa: PLR0917
    request: bytes,
    response: bytes,
    client_window: int,
    server_window: int,
    lost: frozenset[int],
    doubled: frozenset[int],
) -> None:
    client, server = asking(window=client_window), answering(window=server_window)
    line = Line(request, response, client, server, lost, doubled)
    line.run()
    assert line.arrived == {"server": request, "client": response}
    assert client.is_over


@given(apdus, apdus, windows, st.frozensets(numbers), st.frozensets(numbers))
@settings(max_examples=300)
def test_a_bad_line_never_delivers_anything_else(
    request: bytes, response: bytes, window: int, lost: frozenset[int], doubled: frozenset[int]
) -> None:
    line = Line(request, response, asking(window=window), answering(window=window), lost, doubled)
    try:
        line.run()
    except RemoteProtocolError as error:
        assert "EXPECTING BLOCK" in str(error)  # noqa: PT017  it may end well, too
    assert line.arrived.get("server", request) == request
    assert line.arrived.get("client", response) == response


@given(apdus, st.integers(0, 40))
def test_every_single_loss_is_made_good(response: bytes, lost: int) -> None:
    line = Line(b"?" * 25, response, asking(window=5), answering(window=3), frozenset({lost}))
    line.run()
    assert line.arrived == {"server": b"?" * 25, "client": response}


def test_a_response_streams_within_the_window_of_the_client() -> None:
    server, client = answering(awaits=False), asking(window=3)
    client.end()
    server.offer(bytes(range(50)))  # five blocks of ten
    (first,) = server.burst()  # the client's window is not known yet
    assert block(first) == GeneralBlockTransfer(
        last_block=False, streaming=False, window=16, block_number=1, block_data=bytes(range(10))
    )
    assert client.take(block(first)) is None
    (go_on,) = client.burst()
    assert block(go_on) == GeneralBlockTransfer(
        last_block=True,
        streaming=False,
        window=3,
        block_number=1,
        block_number_ack=1,
        block_data=b"",
    )
    assert server.take(block(go_on)) is None
    stream = server.burst()
    assert [block(each).block_number for each in stream] == [2, 3, 4]
    assert [block(each).streaming for each in stream] == [True, True, False]
    assert {block(each).block_number_ack for each in stream} == {1}
    for each in stream:
        assert client.burst() == []  # the turn is the server's
        assert client.take(block(each)) is None
    (acknowledged,) = client.burst()
    server.take(block(acknowledged))
    (last,) = server.burst()
    assert block(last).last_block
    assert client.take(block(last)) == bytes(range(50))
    assert client.is_over
    assert not server.is_over
    (farewell,) = client.burst()
    assert block(farewell).block_number_ack == 5
    server.take(block(farewell))
    assert server.is_over
    assert server.burst() == []  # the acknowledgement of the last block is not acknowledged


def test_a_gap_is_asked_for_from_the_last_block_in_sequence() -> None:
    server, client = answering(awaits=False, peer_window=5), asking(window=5)
    client.end()
    server.offer(bytes(range(50)))
    stream = server.burst()
    for each in (*stream[:2], *stream[3:]):
        client.take(block(each))
    (asked,) = client.burst()
    assert block(asked).block_number_ack == 2
    server.take(block(asked))
    repeated = server.burst()
    assert [block(each).block_number for each in repeated] == [3, 4, 5]


def test_an_unconfirmed_request_is_acknowledged_and_not_answered() -> None:
    client, server = asking(b"0123456789abcdef"), answering()
    (first,) = client.burst()
    server.take(block(first))
    (acknowledged,) = server.burst()
    client.take(block(acknowledged))
    (last,) = client.burst()
    assert server.take(block(last)) == b"0123456789abcdef"
    server.end()
    (farewell,) = server.burst()
    assert block(farewell).last_block
    client.take(block(farewell))
    assert client.has_arrived
    assert client.burst() == []


def test_blocks_that_nobody_confirms_are_put_together_in_silence() -> None:
    server = answering()
    blocks = list(cut(b"0123456789", 4))
    assert [server.take(each) for each in blocks] == [None, None, b"0123456789"]
    server.offer(b"answer")
    assert server.burst() == []


def test_the_end_that_asked_ignores_what_tells_nothing_new() -> None:
    client, server = asking(b"?", window=1), answering()
    (request,) = client.burst()
    server.take(block(request))
    server.offer(b"answer, in two")
    (first,) = server.burst()
    client.take(block(first))
    assert len(client.burst()) == 1
    client.take(block(first))
    assert client.burst() == []
    # The other end has no clock: it answers each copy of a request that hands it the turn.
    assert server.take(block(request)) is None
    assert server.burst() == [first]


def test_silence_is_answered_so_often_and_then_no_more() -> None:
    client = asking(b"?")
    (request,) = client.burst()
    assert [client.again() for _ in range(MAX_REPEATS)] == [[request]] * MAX_REPEATS
    assert client.again() == []


def test_a_gap_that_stays_ends_the_transfer() -> None:
    client = asking()
    late = GeneralBlockTransfer(
        last_block=True, streaming=False, window=1, block_number=9, block_data=b"x"
    )
    for _ in range(MAX_REPEATS):
        client.take(late)
    with pytest.raises(RemoteProtocolError, match="EXPECTING BLOCK 1"):
        client.take(late)


def test_what_was_never_sent_is_not_acknowledged() -> None:
    odd = GeneralBlockTransfer(
        last_block=True, streaming=False, block_number=1, block_number_ack=1, block_data=b"x"
    )
    with pytest.raises(RemoteProtocolError, match=r"acknowledging block 1 .* SENT 0 BLOCKS"):
        answering().take(odd)


def test_an_apdu_that_grows_too_long_is_refused_while_it_arrives() -> None:
    server = answering(max_apdu_octets=10)
    first, second, *_ = cut(bytes(20), 6)
    server.take(first)
    with pytest.raises(RemoteProtocolError, match="HOLDING 10 OCTETS AT MOST"):
        server.take(second)


def test_more_blocks_than_numbers_are_not_begun() -> None:
    client = asking(peer_pdu_octets=12)
    with pytest.raises(LocalProtocolError, match="65535 BLOCKS OF 5 OCTETS AT MOST"):
        client.offer(bytes(5 * 65_535 + 1))
    client.offer(bytes(5 * 65_535))
    assert len(client.burst()) == 1


@pytest.mark.parametrize("window", [0, 64, -1])
def test_windows_have_a_size(window: int) -> None:
    with pytest.raises(ValueError, match="a window is 1 to 63 blocks"):
        asking(window=window)


def test_a_window_of_0_that_hands_over_the_turn_counts_as_one() -> None:
    server = answering(awaits=False)
    server.offer(bytes(30))
    server.burst()
    ack = GeneralBlockTransfer(
        last_block=True, streaming=False, block_number=1, block_number_ack=1, block_data=b""
    )
    server.take(ack)
    assert len(server.burst()) == 1


def test_another_transfer_is_told_from_a_copy_of_this_one() -> None:
    server = answering()
    (request,) = asking(b"one").burst()
    (other,) = asking(b"two").burst()
    assert not server.begins_anew(block(request))
    server.take(block(request))
    assert not server.begins_anew(block(request))
    assert server.begins_anew(block(other))
    responding = answering(awaits=False)
    assert responding.begins_anew(block(other))
    responding.offer(bytes(20))
    client = asking()
    client.end()
    (first,) = responding.burst()
    client.take(block(first))
    (acknowledged,) = client.burst()
    assert not responding.begins_anew(block(acknowledged))
    responding.take(block(acknowledged))
    assert responding.begins_anew(block(other))


@given(st.integers(12, 2000))
def test_a_block_is_as_long_as_the_peer_takes(pdu_octets: int) -> None:
    whole = GeneralBlockTransfer(
        last_block=True, streaming=False, block_number=1, block_data=bytes(data_octets(pdu_octets))
    )
    # Between two lengths of the length field one octet stays free.
    assert pdu_octets - 1 <= len(whole.encode()) <= pdu_octets
