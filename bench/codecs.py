# SPDX-License-Identifier: Apache-2.0
"""Codecs: profile rows to columns, protected APDUs, request encoding; ours and the peers'."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from bench.measure import DLMS_COSEM, GURUX, OURS, Goal, Peer, Row, Scale, per_second, same
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.get import GetRequestNormal, GetResponseNormal, GetResponseWithDatablock
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.bulk.columns import decode_profile, from_blocks
from openami.dlms.data import Array, DoubleLongUnsigned, OctetString, Structure, Unsigned, encode
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.keyset import KeySet
from openami.dlms.wrapper import WrapperFrame

ROWS = 4320
BLOCK_OCTETS = 16_384
VALUE = 123_456
REQUEST_OCTETS, WRAPPER_OCTETS = 13, 8
GLO_OCTETS = 19  # tag, length, security control, counter, authentication tag
TITLE_OCTETS = 9  # system title and its length
GUEK, GAK = bytes(range(16)), bytes(range(0xD0, 0xE0))
SERVER, CLIENT = b"OAM\x00\x00\x00\x00\x01", b"OAM\xe0\x00\x00\x00\x01"
ENERGY = AttributeDescriptor(class_id=3, instance_id=Obis(1, 0, 1, 8, 0, 255), attribute_id=2)


def profile_buffer() -> tuple[bytes, int]:
    """Return 90 days of half-hours (clock, status, four registers), and the sum of column 2."""
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


def measure(scale: Scale) -> Iterator[Row]:
    """Measure the codecs."""
    with Peer("gurux_peer.py") as gurux, Peer("dlms_cosem_peer.py") as dlms_cosem:
        peers = {GURUX: gurux, DLMS_COSEM: dlms_cosem}
        yield profile(peers, scale)
        yield profile_in_blocks(peers, scale)
        yield protected(peers, scale)
        yield request(peers, scale)
        yield protected_request(peers, scale)


def profile(peers: Mapping[str, Peer], scale: Scale) -> Row:
    """Profile rows to timestamped columns."""
    octets, total = profile_buffer()
    row = Row(
        "profile decode",
        "rows/s",
        goal=Goal(figure=10e6),
        note=f"{ROWS} rows of clock, status, four double-long-unsigned; ours to numpy columns, "
        "peers to Python objects",
    )

    def work(_: int) -> None:
        columns = decode_profile(octets)
        same(columns.rows, ROWS, "our profile")
        same(int(columns.values[2].sum()), total, "our profile")

    for _ in range(scale.rounds):
        figures = {OURS: ROWS * per_second(work, scale.seconds)}
        for name, peer in peers.items():
            figures[name], check = peer.ask("decode_profile", octets=octets.hex(), rows=ROWS)
            same(check, total, f"profile of {name}")
        row.add(figures)
    return row


def profile_in_blocks(peers: Mapping[str, Peer], scale: Scale) -> Row:
    """Profile rows to timestamped columns, from protected blocks."""
    octets, total = profile_buffer()
    blocks = [
        GetResponseWithDatablock(
            invoke_id_and_priority=InvokeIdAndPriority(0xC1),
            last_block=start + BLOCK_OCTETS >= len(octets),
            block_number=number,
            result=octets[start : start + BLOCK_OCTETS],
        ).encode()
        for number, start in enumerate(range(0, len(octets), BLOCK_OCTETS), 1)
    ]
    meter, channel = channels()
    glo = [meter.protect(block) for block in blocks]
    meter.general = True
    asked = {
        "rows": ROWS,
        "guek": GUEK.hex(),
        "gak": GAK.hex(),
        "server_title": SERVER.hex(),
        "client_title": CLIENT.hex(),
        "wrapped_glo": [WrapperFrame(Sap(1), Sap(1), each).encode().hex() for each in glo],
        "general_glo": [meter.protect(block).hex() for block in blocks],
    }
    row = Row(
        "profile decode, protected in blocks",
        "rows/s",
        goal=Goal(figure=10e6),
        note=f"the same {ROWS} rows in get-responses of {BLOCK_OCTETS} octets, suite 0, "
        "authenticated and encrypted; opened, put together and decoded",
    )

    def work(_: int) -> None:
        channel.window.expected = 0  # the same counters come again
        columns = from_blocks(glo, unprotect=lambda apdu: channel.unprotect(apdu)[0])
        same(columns.rows, ROWS, "our profile in blocks")
        same(int(columns.values[2].sum()), total, "our profile in blocks")

    for _ in range(scale.rounds):
        figures = {OURS: ROWS * per_second(work, scale.seconds)}
        for name, peer in peers.items():
            figures[name], check = peer.ask("decode_profile_blocks", **asked)
            same(check, total, f"profile in blocks of {name}")
        row.add(figures)
    return row


def channels() -> tuple[SecureChannel, SecureChannel]:
    """Return the two ends of an association: the meter's and the client's."""
    keys = KeySet(encryption_key=GUEK, authentication_key=GAK)
    meter = SecureChannel(
        cipher=Cipher(keys), role=Role.SERVER, own_title=SERVER, counters=CounterBlock(0, 1 << 31)
    )
    client = SecureChannel(
        cipher=Cipher(keys),
        role=Role.CLIENT,
        own_title=CLIENT,
        peer_title=SERVER,
        counters=CounterBlock(0, 1 << 31),
    )
    return meter, client


def protected(peers: Mapping[str, Peer], scale: Scale) -> Row:
    """Small protected GET-responses: opened, checked, parsed."""
    plain = GetResponseNormal(
        invoke_id_and_priority=InvokeIdAndPriority(0xC1), result=DoubleLongUnsigned(VALUE)
    ).encode()
    meter, channel = channels()
    glo = [meter.protect(plain) for _ in range(1000)]
    meter.general = True
    asked = {
        "seconds": scale.seconds,
        "guek": GUEK.hex(),
        "gak": GAK.hex(),
        "server_title": SERVER.hex(),
        "client_title": CLIENT.hex(),
        "wrapped_glo": [WrapperFrame(Sap(1), Sap(1), octets).encode().hex() for octets in glo[:64]],
        "general_glo": [meter.protect(plain).hex() for _ in range(64)],
    }

    def work(i: int) -> None:
        if i % len(glo) == 0:
            channel.window.expected = 0  # the same thousand counters come again
        apdu, _ = channel.unprotect(glo[i % len(glo)])
        same(GetResponseNormal.decode(apdu).result, VALUE, "our protected GET-response")

    row = Row(
        "protected GET-response decode",
        "APDU/s",
        goal=Goal(figure=100e3),
        note="suite 0, authenticated and encrypted; gurux-dlms and ours as glo-get-response, "
        "dlms-cosem as general-glo-ciphering, which is what it knows",
    )
    for _ in range(scale.rounds):
        figures = {OURS: per_second(work, scale.seconds)}
        for name, peer in peers.items():
            figures[name], check = peer.ask("decode_protected", **asked)
            same(check, VALUE, f"protected GET-response of {name}")
        row.add(figures)
    return row


def request(peers: Mapping[str, Peer], scale: Scale) -> Row:
    """Get-Request-Normal to octets."""
    row = Row("request encode", "APDU/s", note="gurux-dlms makes the wrapper header with it")
    lengths = {GURUX: REQUEST_OCTETS + WRAPPER_OCTETS, DLMS_COSEM: REQUEST_OCTETS}

    def work(_: int) -> None:
        apdu = GetRequestNormal(invoke_id_and_priority=InvokeIdAndPriority(0xC1), attribute=ENERGY)
        same(len(apdu.encode()), REQUEST_OCTETS, "our request")

    for _ in range(scale.rounds):
        figures = {OURS: per_second(work, scale.seconds)}
        for name, peer in peers.items():
            figures[name], check = peer.ask("encode_request", seconds=scale.seconds)
            same(check, lengths[name], f"request of {name}")
        row.add(figures)
    return row


def protected_request(peers: Mapping[str, Peer], scale: Scale) -> Row:
    """Get-Request-Normal to octets, authenticated and encrypted under the global key."""
    row = Row(
        "protected request encode",
        "APDU/s",
        goal=Goal(figure=150e3),
        note="suite 0, authenticated and encrypted, each with a counter of its own; gurux-dlms and "
        "ours as glo-get-request (with the wrapper header there), dlms-cosem as "
        "general-glo-ciphering",
    )
    sealed = REQUEST_OCTETS + GLO_OCTETS
    lengths = {GURUX: sealed + WRAPPER_OCTETS, DLMS_COSEM: sealed + TITLE_OCTETS}
    asked = {
        "seconds": scale.seconds,
        "guek": GUEK.hex(),
        "gak": GAK.hex(),
        "client_title": CLIENT.hex(),
    }
    _, channel = channels()

    def work(_: int) -> None:
        apdu = GetRequestNormal(invoke_id_and_priority=InvokeIdAndPriority(0xC1), attribute=ENERGY)
        same(len(channel.protect(apdu.encode())), sealed, "our protected request")

    for _ in range(scale.rounds):
        figures = {OURS: per_second(work, scale.seconds)}
        for name, peer in peers.items():
            figures[name], check = peer.ask("encode_protected_request", **asked)
            same(check, lengths[name], f"protected request of {name}")
        row.add(figures)
    return row
