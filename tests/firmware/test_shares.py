# SPDX-License-Identifier: Apache-2.0
"""Keys in shares: what comes back, what is refused, and in which sentence."""

import os
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.firmware.shares import Share, ShareError, _inverse, _times, join, split

KEY = bytes(range(32))


def test_the_field_is_that_of_aes() -> None:
    assert _times(0x57, 0x83) == 0xC1  # FIPS 197, 4.2
    assert all(_times(a, _inverse(a)) == 1 for a in range(1, 256))


@given(st.binary(min_size=32, max_size=32))
def test_any_three_of_five_cards_give_the_key_back(key: bytes) -> None:
    cards = [share.card() for share in split(key, 3, 5, os.urandom)]
    for chosen in combinations(cards, 3):
        assert join([Share.from_card(card.lower()) for card in reversed(chosen)]) == key


def test_one_share_short_fits_every_key() -> None:
    """With one share of two, each value of an octet is still reached by one polynomial."""
    firsts = {split(bytes([k]) * 32, 2, 2, lambda n: b"\x07" * n)[0].octets[0] for k in range(256)}
    assert len(firsts) == 256


@given(st.integers(0, 71), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_a_mistyped_letter_is_found(at: int, letter: str) -> None:
    card = split(KEY, 2, 2, os.urandom)[0].card().replace(" ", "")
    wrong = card[:at] + letter + card[at + 1 :]
    if wrong != card:
        with pytest.raises(ShareError, match="check does not fit"):
            Share.from_card(wrong)


def test_a_card_of_other_signs_or_length_is_refused() -> None:
    with pytest.raises(ShareError, match="has 4 letters, not 72"):
        Share.from_card("ABCD")
    with pytest.raises(ShareError, match="A to Z and 2 to 7"):
        Share.from_card("1" * 72)


def test_a_repeated_strange_or_missing_share_is_named() -> None:
    one, two, _ = split(KEY, 2, 3, os.urandom)
    with pytest.raises(ShareError, match="card 2 is share 1 again"):
        join([one, one])
    with pytest.raises(ShareError, match="card 2 is from another split"):
        join([one, replace(two, ceremony=b"other")])
    with pytest.raises(ShareError, match="1 of 2 shares"):
        join([one])
    with pytest.raises(ShareError, match="no share"):
        join([])


@pytest.mark.parametrize(("needed", "shares"), [(1, 3), (4, 3), (2, 17)])
def test_numbers_that_do_not_fit_are_refused(needed: int, shares: int) -> None:
    with pytest.raises(ShareError, match=f"{needed} of {shares} shares"):
        split(KEY, needed, shares, os.urandom)


def test_a_share_is_not_shown_in_a_representation() -> None:
    share = split(KEY, 2, 2, os.urandom)[0]
    assert share.octets.hex() not in repr(share)
    assert "octets" not in repr(share)
