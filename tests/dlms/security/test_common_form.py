# SPDX-License-Identifier: Apache-2.0
"""The short way makes and takes the octets of the long way, and knows when to leave it alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import ReplayError, SecurityError
from openami.dlms.security import common_form
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.ciphering import AuthenticatedEncryption, Cipher
from openami.dlms.security.counters import CounterBlock, ReceiveWindow
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl

KEYS = KeySet(encryption_key=bytes(range(16)), authentication_key=bytes(range(0xD0, 0xE0)))
TITLE = b"OAM\x00\x00\x00\x00\x07"
BOTH = SecurityControl(0x30)

tags = st.sampled_from(sorted(common_form._GLO)).map(lambda tag: bytes((tag,)))
apdus = st.builds(bytes.__add__, tags, st.binary(max_size=140))


def channel(role: Role, *, counter: int = 0) -> SecureChannel:
    """One end whose cipher was never used: its first APDU goes the long way."""
    return SecureChannel(
        cipher=Cipher(KEYS),
        role=role,
        own_title=TITLE,
        peer_title=TITLE,
        counters=CounterBlock(counter, 2**32 - 1),
    )


def mode() -> AuthenticatedEncryption:
    cipher = Cipher(KEYS)
    cipher.seal(BOTH, 0, TITLE, b"\xc0")
    assert cipher.common is not None
    return cipher.common


@given(apdus, st.integers(0, 2**32 - 2))
def test_both_ways_make_and_take_the_same(apdu: bytes, counter: int) -> None:
    long_way = channel(Role.CLIENT, counter=counter).protect(apdu)

    sealed = common_form.seal(mode(), TITLE, CounterBlock(counter, 2**32 - 1), apdu)

    if len(apdu) + 17 > 0x7F:
        assert sealed is None
        assert common_form.unseal(mode(), TITLE, ReceiveWindow(), long_way) is None
        return
    assert sealed == long_way
    window = ReceiveWindow()
    assert common_form.unseal(mode(), TITLE, window, sealed) == apdu
    arrived = common_form.arrived(mode(), TITLE, sealed)
    assert channel(Role.SERVER).unprotect(sealed) == (apdu, arrived)
    assert channel(Role.SERVER).plain(sealed) == apdu
    assert window.expected == counter + 1


@given(st.binary(max_size=150))
def test_any_octets_are_left_to_the_long_way(octets: bytes) -> None:
    window = ReceiveWindow()

    assert common_form.unseal(mode(), TITLE, window, octets) is None
    assert window.expected == 0


def test_every_altered_octet_and_every_truncation_is_left_to_the_long_way() -> None:
    sealed = channel(Role.CLIENT).protect(b"\xc0\x01\xc1")
    window = ReceiveWindow()

    altered = [
        sealed[:at] + bytes((sealed[at] ^ bit,)) + sealed[at + 1 :]
        for at in range(len(sealed))
        for bit in (0x01, 0x80)
    ]
    for octets in (*altered, *(sealed[:at] for at in range(len(sealed)))):
        assert common_form.unseal(mode(), TITLE, window, octets) is None
    assert window.expected == 0


def test_a_counter_is_accepted_once() -> None:
    receiver = channel(Role.SERVER)
    sender = channel(Role.CLIENT)
    receiver.unprotect(sender.protect(b"\xc0\x01"))
    assert receiver.cipher.common is not None  # from here on the short way
    again = sender.protect(b"\xc0\x02")

    assert receiver.unprotect(again)[0] == b"\xc0\x02"
    with pytest.raises(ReplayError):
        receiver.unprotect(again)


def test_a_wrong_title_is_left_to_the_long_way() -> None:
    sealed = channel(Role.CLIENT).protect(b"\xc0\x01")

    assert common_form.seal(mode(), b"short", CounterBlock(0, 9), b"\xc0\x01") is None
    assert common_form.unseal(mode(), b"", ReceiveWindow(), sealed) is None
    receiver = channel(Role.SERVER)
    receiver.unprotect(sealed)
    receiver.peer_title = b""
    with pytest.raises(SecurityError, match="system title"):
        receiver.unprotect(channel(Role.CLIENT, counter=7).protect(b"\xc0\x01"))
