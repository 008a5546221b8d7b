# SPDX-License-Identifier: Apache-2.0
"""Addresses: octets, limits, and who a frame is for."""

import pytest
from hypothesis import given

from dlms.hdlc.frames import addresses
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address, Station, read_address


@pytest.mark.parametrize(
    ("address", "octets"),
    [
        (Address.client(16), "21"),
        (Address.client(0x7F), "ff"),
        (Address.server(1), "03"),
        (Address.server(1, 17), "0223"),
        (Address.server(1, 17, 4), "00020023"),
        (Address.server(1, 300), "0002045 9".replace(" ", "")),
        (Address.server(0x3FFF, 0x3FFF), "fefefeff"),
    ],
)
def test_octets(address: Address, octets: str) -> None:
    assert address.encode().hex() == octets
    assert read_address(bytes.fromhex("00" + octets), 1, "it") == (address, 1 + len(octets) // 2)


@given(addresses)
def test_decode_inverts_encode(address: Address) -> None:
    octets = address.encode()

    assert read_address(octets, 0, "it") == (address, len(octets))
    for cut in range(len(octets)):
        assert read_address(octets[:cut], 0, "it") is None


@pytest.mark.parametrize("octets", ["020203", "0202020203", "00000000"])
def test_other_sizes_are_refused(octets: str) -> None:
    with pytest.raises(DecodeError, match=r"it has (3|more than 4) octets"):
        read_address(bytes.fromhex(octets), 0, "it")


@pytest.mark.parametrize(
    ("logical", "physical", "size", "problem"),
    [
        (128, 0, 1, "logical address 128 does not fit into an address of 1 octet: 0 to 127"),
        (1, 17, 1, "physical address 17 needs an address of 2 or 4"),
        (1, 128, 2, "physical address 128 does not fit into an address of 2 octets"),
        (0x4000, 0, None, "logical address 16384 does not fit into an address of 4"),
        (-1, 0, None, "logical address -1"),
        (1, 0, 3, "1, 2 or 4 octets, not 3"),
    ],
)
def test_what_does_not_fit_is_refused(
    logical: int, physical: int, size: int | None, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Address.server(logical, physical, size)


ONE, TWO, FOUR = (Station.of([1, 2], 0 if size == 1 else 17, size) for size in (1, 2, 4))
NOBODY: frozenset[int] = frozenset()


@pytest.mark.parametrize(
    ("station", "received", "for_whom"),
    [
        (ONE, Address(1), {1}),
        (ONE, Address(3), NOBODY),
        (ONE, Address(0), NOBODY),
        (ONE, Address(0x7F), {1, 2}),
        (ONE, Address(1, 17, 2), NOBODY),
        (ONE, Address(1, 0x7F, 2), {1}),
        (ONE, Address(1, 17, 4), NOBODY),
        (ONE, Address(1, 0x3FFF, 4), NOBODY),
        (ONE, Address(0x3FFF, 0x3FFF, 4), {1, 2}),
        (TWO, Address(1), NOBODY),
        (TWO, Address(2, 17, 2), {2}),
        (TWO, Address(2, 18, 2), NOBODY),
        (TWO, Address(0x7F, 17, 2), {1, 2}),
        (TWO, Address(2, 0x7F, 2), {2}),
        (TWO, Address(1, 17, 4), NOBODY),
        (TWO, Address(1, 0x3FFF, 4), NOBODY),
        (TWO, Address(0x3FFF, 0x3FFF, 4), {1, 2}),
        (FOUR, Address(1), NOBODY),
        (FOUR, Address(1, 17, 2), {1}),
        (FOUR, Address(1, 18, 2), NOBODY),
        (FOUR, Address(1, 17, 4), {1}),
        (FOUR, Address(1, 18, 4), NOBODY),
        (FOUR, Address(0x3FFF, 17, 4), {1, 2}),
    ],
)
def test_who_a_frame_is_for(station: Station, received: Address, for_whom: set[int]) -> None:
    assert station.recognizes(received) == for_whom


@pytest.mark.parametrize(
    ("station", "received"),
    [(TWO, Address(1, 0x7E, 2)), (TWO, Address(1, 0x3FFE, 4)), (FOUR, Address(1, 0x3FFE, 4))],
)
def test_the_calling_device_is_meant_while_it_calls(station: Station, received: Address) -> None:
    assert station.recognizes(received, calling=True) == {1}
    assert station.recognizes(received, calling=False) == NOBODY
    assert station.recognizes(received._replace(upper=2), calling=True) == NOBODY
