# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.coap.block import MOST_BLOCKS, Block, block_at
from openami.coap.errors import MessageFormatError

blocks = st.builds(Block, st.integers(0, MOST_BLOCKS - 1), st.booleans(), st.integers(0, 6))


@pytest.mark.parametrize(
    ("octets", "block"),
    [
        ("", Block(0, more=False, exponent=0)),
        ("0e", Block(0, more=True, exponent=6)),
        ("1a", Block(1, more=True, exponent=2)),
        ("0102", Block(16, more=False, exponent=2)),
        ("fffffe", Block(MOST_BLOCKS - 1, more=True, exponent=6)),
    ],
)
def test_values(octets: str, block: Block) -> None:
    assert Block.decode(bytes.fromhex(octets)) == block
    assert block.encode().hex() == octets


@given(blocks)
def test_decode_inverts_encode(block: Block) -> None:
    assert Block.decode(block.encode()) == block


@given(st.binary(max_size=5))
def test_any_octets_decode_or_are_refused(octets: bytes) -> None:
    try:
        Block.decode(octets)
    except MessageFormatError as error:
        assert len(octets) > 3 or octets[-1] & 7 == 7
        assert "RFC 7959" in str(error)  # noqa: PT017


@pytest.mark.parametrize("block", [Block(MOST_BLOCKS, False, 0), Block(0, False, 7)])  # noqa: FBT003
def test_what_no_option_can_say(block: Block) -> None:
    with pytest.raises(ValueError, match="no block option can say"):
        block.encode()


@given(st.binary(max_size=200), st.integers(0, 6))
def test_blocks_together_are_the_whole(whole: bytes, exponent: int) -> None:
    gathered = b""
    block = block_at(whole, 0, exponent)
    while True:
        gathered += block.of(whole)
        if not block.more:
            break
        assert len(block.of(whole)) == block.size_octets
        block = block_at(whole, len(gathered), exponent)
    assert gathered == whole
