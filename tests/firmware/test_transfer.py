# SPDX-License-Identifier: Apache-2.0
"""A transfer in any order, with blocks that come again, restarts and power cuts in between."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.device import FLASH_OCTETS, SMALL
from firmware.made import payload_of
from openami.firmware.bank import Bank
from openami.firmware.flash import SimulatedFlash
from openami.firmware.trailer import ALIGNMENTS, Trailer
from openami.firmware.transfer import HEAD_OCTETS, LONGEST_IDENTIFIER, Terms, Transfer

terms = st.builds(
    Terms,
    identifier=st.binary(max_size=LONGEST_IDENTIFIER),
    size=st.integers(0, 0xFFFFFFFF),
    block_octets=st.integers(0, 0xFFFFFFFF),
    open_ended=st.booleans(),
)


@given(terms)
def test_decode_inverts_encode(what: Terms) -> None:
    octets = what.encode()
    assert len(octets) == HEAD_OCTETS
    assert Terms.decode(octets) == what


@given(terms, st.integers(0, HEAD_OCTETS - 1), st.integers(1, 255))
def test_altered_terms_are_none(what: Terms, at: int, change: int) -> None:
    octets = bytearray(what.encode())
    octets[at] ^= change
    assert Terms.decode(bytes(octets)) is None


@given(
    st.builds(
        Trailer,
        align=st.sampled_from(ALIGNMENTS),
        image_ok=st.booleans(),
        copy_done=st.booleans(),
        swap_info=st.none() | st.integers(0, 0xFE),
        swap_size=st.none() | st.integers(0, 0xFFFFFFFE),
    ),
    st.integers(0, 100),
)
def test_a_trailer_is_found_as_it_was_written(trailer: Trailer, erased: int) -> None:
    rest = b"\xff" * erased + trailer.encode()
    assert Trailer.find(rest) == trailer
    assert Trailer.first_odd(rest, trailer) is None
    assert len(trailer.encode()) == Trailer.octets_of(trailer.align)


@given(st.binary(max_size=120))
def test_any_octets_are_a_trailer_or_none(octets: bytes) -> None:
    for align in ALIGNMENTS:
        end = Trailer(
            align=align, image_ok=False, copy_done=False, swap_info=None, swap_size=None
        ).encode()[-16:]
        found = Trailer.find(octets + end)
        if found is None:
            assert len(octets) + 16 < Trailer.octets_of(align)
        else:
            assert Trailer.find(found.encode()) == found


@settings(max_examples=150)
@given(
    size=st.integers(1, 1500),
    block=st.sampled_from([64, 128, 256]),
    seed=st.integers(0, 2**32),
    cuts=st.integers(0, 4),
)
def test_every_octet_arrives_in_its_place(size: int, block: int, seed: int, cuts: int) -> None:
    draw = random.Random(seed)
    octets = payload_of(size, seed)
    flash = SimulatedFlash(FLASH_OCTETS, page_octets=SMALL.page_octets)
    what = Terms(identifier=b"any", size=size, block_octets=block)
    Transfer.begin(flash, SMALL, Bank.B, what)
    begun = len(flash.operations)
    for _ in range(cuts):
        transfer = Transfer.open(flash, SMALL, Bank.B)
        assert transfer is not None
        for _ in range(draw.randrange(what.blocks + 1)):
            number = draw.randrange(what.blocks)
            transfer.write(number, octets[number * block : (number + 1) * block])
        least = draw.randrange(begun, len(flash.operations) + 1)
        flash = flash.after_cut(least, draw.randrange)
        begun = 0
    transfer = Transfer.open(flash, SMALL, Bank.B)
    assert transfer is not None
    assert transfer.terms == what
    slot = SMALL.slot(Bank.B)
    for number, there in enumerate(transfer.received):
        start, end = number * block, min(size, (number + 1) * block)
        if there:
            assert flash.read(slot.offset + start, end - start) == octets[start:end]
    for number in transfer.missing:
        transfer.write(number, octets[number * block : (number + 1) * block])
    assert not transfer.missing
    assert flash.read(slot.offset, size) == octets
