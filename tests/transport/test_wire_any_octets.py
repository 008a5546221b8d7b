# SPDX-License-Identifier: Apache-2.0
"""Whatever arrives, in whatever pieces: frames are delivered or the wire closes; nothing raises."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from openami.dlms.errors import DecodeError
from openami.dlms.wrapper import WrapperReader
from openami.transport.tlswire import TlsWire
from openami.transport.wire import DEFAULT_LIMITS, Wire
from transport.parties import Party, Pki

frame = st.tuples(
    st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(min_size=1, max_size=40)
).map(lambda f: b"\0\1" + f[0].to_bytes(2) + f[1].to_bytes(2) + len(f[2]).to_bytes(2) + f[2])
streams = st.lists(frame | st.binary(max_size=12), max_size=8).map(b"".join)
cuts = st.lists(st.integers(1, 60), max_size=30)


class FakeTransport:
    """Takes what is written; knows nothing of a network."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, octets: bytes) -> None:
        self.written += octets

    def get_extra_info(self, name: str) -> Any:
        return ("192.0.2.1", 4059) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        assert high > 0

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def pieces(stream: bytes, sizes: list[int]) -> list[bytes]:
    found = []
    for size in [*sizes, len(stream) or 1]:
        found.append(stream[:size])
        stream = stream[size:]
    return [piece for piece in found if piece]


def feed(wire: Wire, chunks: list[bytes]) -> FakeTransport:
    """Give a wire octets as the selector loop does."""
    transport = FakeTransport()
    wire.connection_made(transport)  # type: ignore[arg-type]  # as far as a wire looks
    for chunk in chunks:
        wire.get_buffer(-1)[: len(chunk)] = chunk
        wire.buffer_updated(len(chunk))
    wire.eof_received()
    wire.connection_lost(None)
    return transport


def in_loop(make: Callable[[], Wire], chunks: list[bytes]) -> FakeTransport:
    async def run() -> FakeTransport:
        return feed(make(), chunks)

    return asyncio.run(run())


@given(streams, cuts)
@settings(max_examples=60, deadline=None)
def test_a_wire_delivers_what_the_reader_finds(stream: bytes, sizes: list[int]) -> None:
    chunks = pieces(stream, sizes)
    reader, expected, sound = WrapperReader(), [], True
    try:
        for chunk in chunks:
            expected += [tuple(found) for found in reader.feed(chunk)]
        reader.feed(b"")
    except DecodeError:
        sound = False

    party = Party()
    transport = in_loop(lambda: Wire(party.accept, DEFAULT_LIMITS), chunks)

    (handler,) = party.handlers
    assert handler.frames == expected
    assert len(handler.reasons) == 1
    assert ("the peer closed the connection" in handler.reasons[0]) is sound
    assert transport.closed is not sound


@given(st.binary(max_size=300), cuts)
@settings(max_examples=60, deadline=None)
def test_any_octets_in_a_handshake_end_in_one_reason(
    pki: Pki, stream: bytes, sizes: list[int]
) -> None:
    party = Party()
    secured = SECURED.setdefault("listener", pki.concentrator())
    wires: list[Wire] = []

    def make() -> Wire:
        wires.append(TlsWire(party.accept, DEFAULT_LIMITS, secured))
        return wires[0]

    in_loop(make, pieces(stream, sizes))
    assert not party.handlers
    assert wires[0].reason


SECURED: dict[str, Any] = {}  # one set of settings for all examples
