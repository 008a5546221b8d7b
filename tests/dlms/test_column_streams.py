# SPDX-License-Identifier: Apache-2.0
"""Long answers to columns: in blocks, ciphered or not, of services or general ones."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from openami.dlms.apdu.block import cut
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.get import GetResponseNormal, GetResponseWithDatablock
from openami.dlms.bulk.columns import Columns, ProfileStream, decode_profile, from_blocks
from openami.dlms.data import Array, DoubleLongUnsigned, OctetString, Structure, encode
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError, RemoteProtocolError, SecurityError
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.keyset import KeySet

START = datetime(2026, 3, 28, tzinfo=UTC)
KEYS = KeySet(encryption_key=bytes(range(16)), authentication_key=bytes(range(16, 32)))
SERVER, CLIENT = b"OAM\x00\x00\x00\x00\x01", b"OAM\xe0\x00\x00\x00\x01"
ROWS = Array(
    Structure(
        (
            OctetString(CosemDateTime.from_utc(START + timedelta(hours=n)).encode()),
            DoubleLongUnsigned(n),
        )
    )
    for n in range(100)
)
OCTETS = encode(ROWS)


def blocks(octets: bytes = OCTETS, size: int = 300) -> list[bytes]:
    starts = range(0, len(octets), size)
    return [
        GetResponseWithDatablock(
            invoke_id_and_priority=0xC1,
            last_block=start + size >= len(octets),
            block_number=number,
            result=octets[start : start + size],
        ).encode()
        for number, start in enumerate(starts, 1)
    ]


def whole() -> bytes:
    return GetResponseNormal(invoke_id_and_priority=0xC1, result=ROWS).encode()


def channels() -> tuple[SecureChannel, Callable[[bytes], bytes]]:
    server = SecureChannel(
        cipher=Cipher(KEYS), role=Role.SERVER, own_title=SERVER, counters=CounterBlock(0, 1 << 31)
    )
    client = SecureChannel(
        cipher=Cipher(KEYS),
        role=Role.CLIENT,
        own_title=CLIENT,
        peer_title=SERVER,
        counters=CounterBlock(0, 1 << 31),
    )
    return server, lambda octets: client.unprotect(octets)[0]


def same(first: Columns, second: Columns) -> bool:
    pairs = zip(first.values, second.values, strict=True)
    return first.rows == second.rows and all((a == b).all() for a, b in pairs)


@pytest.mark.parametrize("size", [1, 17, 300, 60_000])
def test_blocks_of_a_service(size: int) -> None:
    assert same(from_blocks(blocks(size=size)), decode_profile(OCTETS))


@pytest.mark.parametrize("general", [False, True])
def test_ciphered_blocks(general: bool) -> None:  # noqa: FBT001
    server, unprotect = channels()
    server.general = general
    sealed = [server.protect(each) for each in blocks()]

    assert same(from_blocks(sealed, unprotect=unprotect), decode_profile(OCTETS))


def test_an_answer_in_one_piece_and_in_general_blocks() -> None:
    server, unprotect = channels()
    sealed = server.protect(whole())

    assert same(from_blocks([whole()]), decode_profile(OCTETS))
    assert same(from_blocks(each.encode() for each in cut(whole(), 100)), decode_profile(OCTETS))
    general = [each.encode() for each in cut(sealed, 100)]
    assert same(from_blocks(general, unprotect=unprotect), decode_profile(OCTETS))


def test_a_stream_tells_when_it_is_done() -> None:
    stream = ProfileStream()
    taken = [stream.take(each) for each in blocks()]

    assert taken == [False] * (len(taken) - 1) + [True]
    assert stream.buffer() == OCTETS
    with pytest.raises(DecodeError, match="the last block was there already"):
        stream.take(blocks()[0])


def test_names_and_choices_travel() -> None:
    found = from_blocks(blocks(), names=("clock", "energy"), columns=(1,))

    assert found.names == ("energy",)
    assert list(found.values[0]) == list(range(100))


def test_what_is_wrong_is_named() -> None:
    parts = blocks()
    refused = GetResponseWithDatablock(
        invoke_id_and_priority=0xC1,
        last_block=True,
        block_number=1,
        result=DataAccessResult.HARDWARE_FAULT,
    ).encode()
    for apdus, problem in (
        (parts[:-1], "the last one is missing"),
        (parts[1:], "block 2 comes where 1 is expected"),
        ([parts[0], parts[2]], "block 3 comes where 2 is expected"),
        ([parts[0][:-1]], "raw-data needs 300 octets, 299 are there"),
        ([parts[0][:8]], "the answer ends before its result"),
        ([refused], "the meter answers hardware.fault"),
        ([b""], "no block of an answer"),
        ([b"\xc4\x01\xc1\x01\x03"], "the meter answers read.write.denied"),
        ([b"\xd8\x01\x01"], "no block of an answer"),
    ):
        with pytest.raises(DecodeError, match=problem):
            from_blocks(apdus)
    with pytest.raises(RemoteProtocolError):
        from_blocks([each.encode() for each in cut(whole(), 100)][1:])
    server, unprotect = channels()
    sealed = bytearray(server.protect(parts[0]))
    sealed[-1] ^= 1
    with pytest.raises(SecurityError):
        from_blocks([bytes(sealed)], unprotect=unprotect)
