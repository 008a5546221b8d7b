# SPDX-License-Identifier: Apache-2.0
"""One word of the head-end for many meters: once on a line, and over each other connection."""

from functools import partial
from pathlib import Path
from typing import Final

import pytest

from chain import CONCENTRATOR, Chain, until
from concentrator.lines.sharedline import SharedLine
from concentrator.lines.test_service import chain_with_line, state_of
from headend.updatable import BLOCK_OCTETS, SECOND, UpdatableMeter, make_updatable
from loops import in_loop
from openami.cosem.asking.image import unconfirmed_block
from openami.cosem.classes.access_control import KeyId
from openami.cosem.classes.image_transfer import ImageInitiation
from openami.cosem.serving.security_setup import wrap_keys
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import Array, Enum, LongUnsigned, OctetString, Structure
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.security.broadcast import GroupKeys, seal_broadcast
from openami.dlms.security.counters import InvocationCounter
from openami.dlms.security.credentials import MasterKey
from openami.exchange.orders import Broadcast, decode_order, encode_broadcast
from openami.exchange.uplink import BROADCAST_CLIENT
from openami.headend.sessions import Urgency
from openami.lifecycle.plan import HEAD_END_TITLE

GROUP: Final = GroupKeys(encryption=bytes(range(16)), authentication=bytes(range(16, 32)))


def ready(chain: Chain) -> dict[int, UpdatableMeter]:
    """Give the chain meters that hold the group's keys and wait for an image."""
    made = make_updatable(chain)
    for meter in made.values():
        ids = KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY, KeyId.AUTHENTICATION_KEY
        keys = dict(zip(ids, (GROUP.encryption, GROUP.authentication), strict=True))
        meter.group.transfer(wrap_keys(MasterKey(meter.keys.kek), keys))
        meter.receiver.initiate(ImageInitiation(b"second", len(SECOND)))
    return made


def sealed(number: int, counter: int) -> bytes:
    apdu = unconfirmed_block(SECOND, number, BLOCK_OCTETS)
    return seal_broadcast(GROUP.cipher(), InvocationCounter(counter), HEAD_END_TITLE, apdu)


async def say(chain: Chain, apdu: bytes, most_s: float = 20.0) -> None:
    titles = tuple(meter.title for meter in chain.meters.values())
    order = Broadcast(client=BROADCAST_CLIENT, apdu=apdu, titles=titles)
    await chain.headend.uplinks.order(CONCENTRATOR, partial(encode_broadcast, order), most_s)


def frames(shared: SharedLine) -> list[Frame]:
    return [each for each in FrameReader().feed(bytes(shared.heard)) if isinstance(each, Frame)]


@in_loop
async def test_a_word_goes_once_on_the_line_and_over_each_connection(tmp_path: Path) -> None:
    made: dict[int, UpdatableMeter] = {}
    prepare = lambda chain: made.update(ready(chain))  # noqa: E731
    async with chain_with_line(tmp_path, 4, on_line=2, prepare=prepare, baud=115200) as (
        chain,
        shared,
    ):
        await chain.attach(3, 4)
        await until(
            lambda: all(chain.headend.uplinks.has_route(m.title) for m in chain.meters.values())
        )
        del shared.heard[:]
        shared.spoken.clear()
        await say(chain, sealed(5, 1))
        await until(lambda: all(meter.came == [5] for meter in made.values()))

        told = [each for each in frames(shared) if each.destination.is_all]
        assert {each.control.kind for each in told} == {Kind.UI}
        assert not any(each.control.poll_final for each in told)
        assert {each.destination for each in told} == {Address.server(0x7F, 0x7F, 2)}
        assert {each.source for each in told} == {Address.client(BROADCAST_CLIENT)}
        assert sum(len(each.information) for each in told) == 3 + len(sealed(5, 1))
        assert told[0].information[:3] == b"\xff\xe6\x00"  # LLC: to all
        assert chain.concentrator.broadcasts.said == 3

        await say(chain, sealed(6, 2))
        await say(chain, sealed(6, 2))  # replayed: whoever stands between may do so
        await say(chain, sealed(7, 3)[:-1] + b"\0")
        await say(chain, sealed(8, 4))
        await until(lambda: all(meter.came == [5, 6, 8] for meter in made.values()))


@in_loop
async def test_what_is_lost_in_the_middle_or_at_the_end_costs_that_word_alone(
    tmp_path: Path,
) -> None:
    made: dict[int, UpdatableMeter] = {}
    prepare = lambda chain: made.update(ready(chain))  # noqa: E731
    async with chain_with_line(tmp_path, 2, prepare=prepare, baud=115200) as (chain, shared):
        await until(
            lambda: all(chain.headend.uplinks.has_route(m.title) for m in chain.meters.values())
        )
        drop = shared.drops[16]
        hear, lost = drop.octets, [0]

        def lossy(octets: bytes) -> None:
            """Let meter 1 miss a frame of each of the first two words: inside, and the last."""
            kept = bytearray()
            for frame in FrameReader().feed(octets):
                if isinstance(frame, Frame) and frame.destination.is_all:
                    lost[0] += 1
                    if lost[0] in {4, 2 * parts}:
                        continue
                kept += frame.encode() if isinstance(frame, Frame) else b""
            hear(bytes(kept))

        parts = -(-(len(sealed(1, 1)) + 3) // 128)
        drop.octets = lossy  # type: ignore[method-assign]
        for number in range(1, 5):
            await say(chain, sealed(number, number))
        await until(lambda: made[2].came == [1, 2, 3, 4])
        assert made[1].came == [3, 4]


@in_loop
async def test_commands_go_on_between_two_words(tmp_path: Path) -> None:
    made: dict[int, UpdatableMeter] = {}
    prepare = lambda chain: made.update(ready(chain))  # noqa: E731
    async with chain_with_line(tmp_path, 1, prepare=prepare, baud=115200) as (chain, shared):
        await until(lambda: chain.headend.uplinks.has_route(chain.meters[1].title))
        line = chain.concentrator.lines[0]
        gone = [line.announce(BROADCAST_CLIENT, sealed(n, n)) for n in range(1, 9)]
        await chain.headend.sessions.run(1, Urgency.COMMAND, state_of)
        for each in gone:
            assert await each
        kinds = [each.destination.is_all for each in frames(shared)]
        first, last = kinds.index(True), len(kinds) - kinds[::-1].index(True)
        assert not all(kinds[first:last])
        assert made[1].came == list(range(1, 9))


@in_loop
async def test_a_line_that_is_gone_or_a_meter_that_is_away_holds_nobody_up(tmp_path: Path) -> None:
    async with chain_with_line(tmp_path, 2, over_tcp=True, prepare=ready) as (chain, shared):
        await until(
            lambda: all(chain.headend.uplinks.has_route(m.title) for m in chain.meters.values())
        )
        line = chain.concentrator.lines[0]
        line._bus.port.close()  # as when the device server is gone
        assert not await line.announce(BROADCAST_CLIENT, sealed(1, 1))
        await say(chain, sealed(2, 2))
        assert chain.concentrator.broadcasts.said == 0
        assert shared


def test_the_order_is_read_as_it_was_written_and_another_shape_is_refused() -> None:
    order = Broadcast(client=102, apdu=b"\xdb\x08", titles=(bytes(8), bytes(range(8))))
    invoke_id, found = decode_order(encode_broadcast(order, 7))
    assert found == order
    assert invoke_id & 0xFFFFFF == 7
    for body in (
        (Enum(66), LongUnsigned(102), OctetString(b"\xdb"), OctetString(bytes(9))),
        (Enum(66), LongUnsigned(102), OctetString(b""), OctetString(bytes(8))),
        (Enum(66), OctetString(b"\xdb"), Array(())),
    ):
        apdu = DataNotification(
            long_invoke_id_and_priority=LongInvokeIdAndPriority.of(1, confirmed=True),
            notification_body=Structure(body),
        ).encode()
        with pytest.raises(DecodeError):
            decode_order(apdu)
