# SPDX-License-Identifier: Apache-2.0
"""A key in shares: any ``threshold`` of them give it back, fewer say nothing about it.

A. Shamir, "How to share a secret", Communications of the ACM 22 (1979), over GF(2^8) with the
polynomial of AES (FIPS 197, section 4.2), each octet on its own. A share travels as a card of text:

========  ========  ==================================================
octets    field     meaning
========  ========  ==================================================
1         needed    how many shares give the key back
1         number    this share's point, from 1
5         ceremony  the same on all cards of one split
32        octets    the polynomials' values at that point
6         check     SHA-256 of what stands before it, shortened
========  ========  ==================================================

in base32 (RFC 4648), 18 groups of four letters. The check finds what is mistyped; it does not
prove who made a card, so what the key unwraps must be authenticated. Python copies octets as it
likes: neither shares nor the key can be wiped from memory with certainty.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from openami.firmware.errors import FirmwareError
from openami.firmware.keys import Entropy

KEY_OCTETS: Final = 32
MOST_SHARES: Final = 16
_CEREMONY_OCTETS: Final = 5
_CHECK_OCTETS: Final = 6
_CARD_OCTETS: Final = 2 + _CEREMONY_OCTETS + KEY_OCTETS + _CHECK_OCTETS
_CARD_LETTERS: Final = _CARD_OCTETS * 8 // 5
_REDUCTION: Final = 0x11B
_FEWEST: Final = 2


class ShareError(FirmwareError):
    """A card or a set of cards is refused; the sentence never shows a share."""


@dataclass(frozen=True, slots=True)
class Share:
    """One person's part of a key."""

    needed: int
    number: int
    ceremony: bytes
    octets: bytes = field(repr=False)

    def card(self) -> str:
        """Return the share as 18 groups of four letters and digits."""
        body = bytes([self.needed, self.number]) + self.ceremony + self.octets
        text = base64.b32encode(body + _check(body)).decode()
        return " ".join(text[at : at + 4] for at in range(0, len(text), 4))

    @classmethod
    def from_card(cls, card: str) -> "Share":
        """Read a card as it was typed; case, blanks and hyphens do not matter.

        Raises:
            ShareError: The card is too short or long, or mistyped.
        """
        letters = "".join(card.replace("-", " ").split()).upper()
        if len(letters) != _CARD_LETTERS:
            raise ShareError(
                f"the card has {len(letters)} letters, not {_CARD_LETTERS}: type all its groups"
            )
        try:
            octets = base64.b32decode(letters)
        except (binascii.Error, ValueError):
            raise ShareError("the card holds a sign other than A to Z and 2 to 7") from None
        body, check = octets[:-_CHECK_OCTETS], octets[-_CHECK_OCTETS:]
        if check != _check(body):
            raise ShareError("the card's check does not fit: compare each group with the paper")
        needed, number = body[0], body[1]
        if not (_FEWEST <= needed <= MOST_SHARES and 1 <= number <= MOST_SHARES):
            raise ShareError(f"the card is share {number} of which {needed} are needed: no such")
        ends = 2 + _CEREMONY_OCTETS
        return cls(needed, number, body[2:ends], body[ends:])


def split(key: bytes, needed: int, shares: int, entropy: Entropy) -> tuple[Share, ...]:
    """Split a key of 32 octets.

    Raises:
        ShareError: The key has another length, or the numbers do not fit each other.
    """
    if len(key) != KEY_OCTETS:
        raise ShareError(f"the key has {len(key)} octets, not {KEY_OCTETS}")
    if not _FEWEST <= needed <= shares <= MOST_SHARES:
        raise ShareError(
            f"{needed} of {shares} shares: choose {_FEWEST} to {MOST_SHARES},"
            " and no more needed than there are"
        )
    ceremony = entropy(_CEREMONY_OCTETS)
    coefficients = [key, *(entropy(KEY_OCTETS) for _ in range(needed - 1))]
    return tuple(
        Share(needed, point, ceremony, _at(coefficients, point)) for point in range(1, shares + 1)
    )


def join(shares: Sequence[Share]) -> bytes:
    """Return the key that the shares were split from.

    Raises:
        ShareError: A share is there twice or from another split, or there are too few.
    """
    if not shares:
        raise ShareError("no share was given")
    first = shares[0]
    seen: set[int] = set()
    for place, share in enumerate(shares, 1):
        if (share.ceremony, share.needed) != (first.ceremony, first.needed):
            raise ShareError(f"card {place} is from another split than card 1: fetch the right one")
        if share.number in seen:
            raise ShareError(f"card {place} is share {share.number} again: type another holder's")
        seen.add(share.number)
    if len(shares) < first.needed:
        raise ShareError(f"{len(shares)} of {first.needed} shares are there: ask another holder")
    used = shares[: first.needed]
    key = bytes(KEY_OCTETS)
    for share in used:
        weight = 1
        for other in used:
            if other is not share:
                ratio = _inverse(other.number ^ share.number)
                weight = _times(weight, _times(other.number, ratio))
        key = bytes(a ^ _times(weight, b) for a, b in zip(key, share.octets, strict=True))
    return key


def _check(body: bytes) -> bytes:
    return hashlib.sha256(b"openami share" + body).digest()[:_CHECK_OCTETS]


def _at(coefficients: Sequence[bytes], point: int) -> bytes:
    value = bytes(KEY_OCTETS)
    for octets in reversed(coefficients):
        value = bytes(_times(a, point) ^ b for a, b in zip(value, octets, strict=True))
    return value


def _times(a: int, b: int) -> int:
    """Multiply without tables, so that no secret chooses an address."""
    product = 0
    for bit in range(8):
        product ^= -((b >> bit) & 1) & a
        a = (a << 1) ^ (-(a >> 7) & _REDUCTION)
    return product


def _inverse(a: int) -> int:
    power = 1
    for _ in range(254):
        power = _times(power, a)
    return power
