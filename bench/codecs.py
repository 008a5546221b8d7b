# SPDX-License-Identifier: Apache-2.0
"""Codecs: profile rows to columns, protected APDUs, request encoding; ours and the peers'."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench.measure import Peer, Row, per_second
from openami.dlms.apdu.fields import AttributeDescriptor, InvokeIdAndPriority
from openami.dlms.apdu.get import GetRequestNormal, GetResponseNormal
from openami.dlms.columns import decode_profile
from openami.dlms.data import Array, DoubleLongUnsigned, OctetString, Structure, Unsigned, encode
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher, KeySet
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.wrapper import WrapperFrame

ROWS = 4320
GUEK, GAK = bytes(range(16)), bytes(range(0xD0, 0xE0))
SERVER, CLIENT = b"OAM\x00\x00\x00\x00\x01", b"OAM\xe0\x00\x00\x00\x01"
ENERGY = AttributeDescriptor(class_id=3, instance_id=Obis(1, 0, 1, 8, 0, 255), attribute_id=2)


def profile_buffer() -> tuple[bytes, int]:
    """Return 90 days of half-hours with a clock, a status and four registers; and column 2's sum."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = Array(
        Structure(
            (
                OctetString(CosemDateTime.from_utc(start + i * timedelta(minutes=30)).encode()),
                Unsigned(0),
                *(DoubleLongUnsigned(1000 + i * j) for j in range(1, 5)),
            )
        )
        for i in range(ROWS)
    )
    return encode(rows), sum(1000 + i for i in range(ROWS))


def measure(seconds: float, rounds: int) -> Iterator[Row]:
    """Measure the codecs."""
    with Peer("gurux_peer.py") as gurux, Peer("dlms_cosem_peer.py") as dlms_cosem:
        yield profile(gurux, dlms_cosem, rounds)
        yield protected(gurux, dlms_cosem, seconds, rounds)
        yield request(gurux, dlms_cosem, seconds, rounds)


def profile(gurux: Peer, dlms_cosem: Peer, rounds: int) -> Row:
    """Profile rows to timestamped columns."""
    octets, total = profile_buffer()
    row = Row("profile decode", "rows/s", goal="≥ 10 M rows/s")

    def ours() -> float:
        repeat = 200
        began = time.perf_counter()
        for _ in range(repeat):
            columns = decode_profile(octets)
        spent = time.perf_counter() - began
        assert columns.rows == ROWS
        assert int(columns.values[2].sum()) == total
        return repeat * ROWS / spent

    ours()
    for _ in range(rounds):
        figures = {"openami": ours()}
        for name, peer in (("gurux-dlms", gurux), ("dlms-cosem", dlms_cosem)):
            figures[name], check = peer.ask("decode_profile", octets=octets.hex(), rows=ROWS)
            assert check == total, f"{name} decoded {check}, not {total}"
        row.add(figures)
    return row


def protected(gurux: Peer, dlms_cosem: Peer, seconds: float, rounds: int) -> Row:
    """Small protected GET-responses: opened, checked, parsed."""
    plain = GetResponseNormal(
        invoke_id_and_priority=InvokeIdAndPriority(0xC1), result=DoubleLongUnsigned(123456)
    ).encode()
    meter = SecureChannel(
        cipher=Cipher(KeySet(encryption_key=GUEK, authentication_key=GAK)),
        role=Role.SERVER,
        own_title=SERVER,
        counters=CounterBlock(0, 1 << 31),
    )
    glo = [meter.protect(plain) for _ in range(1000)]
    meter.general = True
    general_glo = [meter.protect(plain).hex() for _ in range(64)]
    wrapped = [WrapperFrame(1, 1, octets).encode().hex() for octets in glo[:64]]
    keys = {"guek": GUEK.hex(), "gak": GAK.hex()}
    titles = {"server_title": SERVER.hex(), "client_title": CLIENT.hex()}
    row = Row("protected GET-response decode", "APDU/s", goal="≥ 60 k/s")
    channel = SecureChannel(
        cipher=Cipher(KeySet(encryption_key=GUEK, authentication_key=GAK)),
        role=Role.CLIENT,
        own_title=CLIENT,
        peer_title=SERVER,
        counters=CounterBlock(0, 1 << 31),
    )

    def work(i: int) -> None:
        if i % len(glo) == 0:
            channel.window.expected = 0  # the same thousand counters come again
        apdu, _ = channel.unprotect(glo[i % len(glo)])
        assert GetResponseNormal.decode(apdu).result == 123456

    for _ in range(rounds):
        figures = {"openami": per_second(work, seconds)}
        asked = {"seconds": seconds, **keys, **titles}
        figures["gurux-dlms"], check = gurux.ask("decode_protected", wrapped_glo=wrapped, **asked)
        assert check == 123456
        figures["dlms-cosem"], check = dlms_cosem.ask(
            "decode_protected", general_glo=general_glo, **asked
        )
        assert check == 123456
        row.add(figures)
    return row


def request(gurux: Peer, dlms_cosem: Peer, seconds: float, rounds: int) -> Row:
    """Get-Request-Normal to octets."""
    row = Row("request encode", "APDU/s")

    def work(_: int) -> None:
        apdu = GetRequestNormal(invoke_id_and_priority=InvokeIdAndPriority(0xC1), attribute=ENERGY)
        assert len(apdu.encode()) == 13

    for _ in range(rounds):
        figures = {"openami": per_second(work, seconds)}
        for name, peer, octets in (("gurux-dlms", gurux, 21), ("dlms-cosem", dlms_cosem, 13)):
            figures[name], check = peer.ask("encode_request", seconds=seconds)
            assert check == octets
        row.add(figures)
    return row
