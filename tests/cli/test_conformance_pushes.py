# SPDX-License-Identifier: Apache-2.0
"""Where a meter under test pushes to: what comes on a line."""

import asyncio

from openami.cli.conformance_pushes import PushEar
from openami.cli.simulated_pushes import put_on_line
from openami.dlms.apdu.block import cut
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import DataNotification
from openami.dlms.data import OctetString, Structure
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.link import unnumbered_frames
from openami.dlms.hdlc.llc import FROM_SERVER
from openami.transport.url import Url


def notification(number: int) -> bytes:
    return DataNotification(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(number),
        notification_body=Structure((OctetString(bytes(200)),)),
    ).encode()


def framed(apdu: bytes, *, llc: bytes = FROM_SERVER) -> bytes:
    frames = unnumbered_frames(
        Address.client(1), Address.server(1), llc + apdu, 128, poll_final=True
    )
    return b"".join(frame.encode() for frame in frames)


async def heard(burst: bytes, count: int) -> list[bytes | None]:
    with_port = Url("hdlc+tcp", "127.0.0.1", 0)
    ear = PushEar(with_port)
    await ear.open()
    try:
        assert ear.bound is not None
        await put_on_line(ear.bound, burst)
        return [await ear.next(10) for _ in range(count)]
    finally:
        await ear.close()


def test_telegrams_that_come_together_are_heard_one_by_one() -> None:
    burst = framed(notification(1)) + framed(notification(2))
    assert asyncio.run(heard(burst, 2)) == [notification(1), notification(2)]


def test_blocks_are_put_together() -> None:
    first, *later = [each.encode() for each in cut(notification(7), 60)]
    burst = framed(first) + b"".join(framed(each, llc=b"") for each in later)
    assert asyncio.run(heard(burst, 1)) == [notification(7)]


def test_what_is_no_frame_stays_for_the_case() -> None:
    assert asyncio.run(heard(b"noise", 1)) == [b"noise"]
