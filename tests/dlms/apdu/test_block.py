# SPDX-License-Identifier: Apache-2.0
"""General block transfer: pushes of the field, cutting and joining, lost blocks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.apdu.block import Assembler, GeneralBlockTransfer, cut
from openami.dlms.errors import RemoteProtocolError
from vectors import vectors

VECTORS = vectors("dlms/block-transfers.toml")


@pytest.mark.parametrize("row", VECTORS, ids=[row["name"] for row in VECTORS])
def test_a_push_of_the_field(row: dict[str, Any]) -> None:
    assembler = Assembler()
    apdu = None
    for octets in map(bytes.fromhex, row["blocks"]):
        block = GeneralBlockTransfer.decode(octets)
        assert block.encode() == octets
        assert (block.streaming, block.window, block.block_number_ack) == (True, 0, 0)
        apdu = assembler.take(block)

    assert apdu == (row["octets"] or None)


@given(st.binary(max_size=300), st.integers(1, 120))
def test_what_is_cut_comes_together(apdu: bytes, block_octets: int) -> None:
    assembler = Assembler()
    blocks = list(cut(apdu, block_octets))

    assert [assembler.take(block) for block in blocks] == [None] * (len(blocks) - 1) + [apdu]


def test_a_lost_block_is_told_and_the_next_transfer_is_taken() -> None:
    assembler = Assembler()
    first, _, third = cut(b"abc", 1)

    assembler.take(first)
    with pytest.raises(
        RemoteProtocolError, match="block 3 has no place in state EXPECTING BLOCK 2"
    ):
        assembler.take(third)
    assert [assembler.take(block) for block in cut(b"abc", 1)] == [None, None, b"abc"]


def test_a_sender_may_start_again() -> None:
    assembler = Assembler()
    assembler.take(next(cut(b"abc", 1)))

    assert [assembler.take(block) for block in cut(b"def", 2)] == [None, b"def"]


def test_an_endless_apdu_is_refused() -> None:
    assembler = Assembler(max_apdu_octets=4)
    blocks = cut(bytes(9), 2)

    assembler.take(next(blocks))
    assembler.take(next(blocks))
    with pytest.raises(RemoteProtocolError, match="HOLDING 4 OCTETS AT MOST"):
        assembler.take(next(blocks))


@pytest.mark.parametrize(
    ("octets", "block_octets", "problem"),
    [(1, 0, "1 octet or more"), (0x10000, 1, "larger blocks")],
)
def test_what_cannot_be_cut(octets: int, block_octets: int, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        next(cut(bytes(octets), block_octets))


def test_a_window_has_six_bits() -> None:
    block = GeneralBlockTransfer(
        last_block=True, streaming=False, window=64, block_number=1, block_data=b""
    )
    with pytest.raises(ValueError, match="0 to 63"):
        block.encode()
