# SPDX-License-Identifier: Apache-2.0
"""Broadcasts under GBEK: inverse, every flipped bit, every truncation, nothing under less."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import DlmsError, SecurityError
from openami.dlms.security.broadcast import GroupKeys, open_broadcast, seal_broadcast
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import InvocationCounter
from openami.dlms.security.envelopes import Envelope
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl

TITLE = b"OAM\x00\x00\x00\x00\x01"
GROUP = GroupKeys(encryption=bytes(range(16)), authentication=bytes(range(16, 32)))
APDU = bytes.fromhex("c30180001200002c0000ff0200")
SEALED = seal_broadcast(GROUP.cipher(), InvocationCounter(7), TITLE, APDU)


@given(st.binary(min_size=1, max_size=300), st.integers(0, 2**32 - 2))
def test_open_inverts_seal(apdu: bytes, counter: int) -> None:
    sealed = seal_broadcast(GROUP.cipher(), InvocationCounter(counter), TITLE, apdu)

    opened, protection = open_broadcast(GROUP.cipher(), TITLE, sealed)

    assert opened == apdu
    assert protection.invocation_counter == counter
    assert protection.envelope is Envelope.GENERAL_GLO
    assert protection.control.broadcast
    assert protection.system_title == TITLE


def test_head_and_security_control_are_as_the_table_says() -> None:
    assert SEALED[:10] == b"\xdb\x08" + TITLE
    assert SEALED[10] == len(SEALED) - 11
    assert SEALED[11:16] == bytes.fromhex("7000000007")


def test_the_keys_of_a_group_are_those_of_any_key_set_with_a_broadcast_key() -> None:
    keys = KeySet(
        encryption_key=bytes(16),
        authentication_key=GROUP.authentication,
        broadcast_key=GROUP.encryption,
    )

    assert Cipher(keys).open(SEALED[11:], TITLE) == (SecurityControl(0x70), 7, APDU)


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_every_truncation_is_refused(length: int) -> None:
    with pytest.raises(DlmsError):
        open_broadcast(GROUP.cipher(), TITLE, SEALED[:length])


@pytest.mark.parametrize("bit", range(8 * len(SEALED)))
def test_every_flipped_bit_is_refused(bit: int) -> None:
    octets = bytearray(SEALED)
    octets[bit // 8] ^= 1 << bit % 8

    with pytest.raises(DlmsError):
        open_broadcast(GROUP.cipher(), TITLE, bytes(octets))


@pytest.mark.parametrize("control", [0x30, 0x50, 0x60, 0x10, 0x20])
def test_less_protection_or_another_key_set_is_refused(control: int) -> None:
    sealed = GROUP.cipher().seal(SecurityControl(control), 7, TITLE, APDU)
    octets = b"\xdb\x08" + TITLE + bytes((len(sealed),)) + sealed

    with pytest.raises(SecurityError, match="only security control 70"):
        open_broadcast(GROUP.cipher(), TITLE, octets)


def test_another_originator_is_refused() -> None:
    with pytest.raises(SecurityError, match="another originator"):
        open_broadcast(GROUP.cipher(), bytes(8), SEALED)


def test_a_broadcast_of_nothing_is_refused() -> None:
    empty = seal_broadcast(GROUP.cipher(), InvocationCounter(7), TITLE, b"")

    with pytest.raises(SecurityError, match="holds no APDU"):
        open_broadcast(GROUP.cipher(), TITLE, empty)


@given(st.binary(max_size=60))
def test_any_octets_are_opened_or_refused(octets: bytes) -> None:
    with pytest.raises(DlmsError):
        open_broadcast(GROUP.cipher(), TITLE, octets)
