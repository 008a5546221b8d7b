# SPDX-License-Identifier: Apache-2.0
"""Conversations over a carrier: order, time-outs, a carrier that goes away, failures."""

import asyncio
from collections.abc import Callable, Generator

import pytest

from openami.dlms.conversation import OneWay
from openami.dlms.errors import DecodeError
from openami.transport.session import LOOKS, DlmsSession, SessionHandler, SessionTimeoutError
from openami.transport.wire import Wire, WireError
from transport.parties import Pki, connect, echo

Steps = Generator[bytes, bytes, list[bytes]]


def asking(*requests: bytes) -> Steps:
    """A conversation that asks in turn and returns the answers."""
    answers = []
    for request in requests:
        answers.append((yield request))  # noqa: PERF401  a generator cannot yield in one
    return answers


class Carrier:
    """Answers what is sent, in the same call, later, or never."""

    def __init__(self, answer: Callable[[bytes], bytes] | None = bytes.upper) -> None:
        self.sent: list[bytes] = []
        self.answer = answer
        self.session = DlmsSession(self.send, "meter 7", timeout_s=0.05)

    def send(self, apdu: bytes) -> None:
        self.sent.append(apdu)
        if self.answer is not None:
            asyncio.get_running_loop().call_soon(self.session.feed, self.answer(apdu))


def test_a_conversation_returns_its_result() -> None:
    async def conversation() -> None:
        carrier = Carrier()
        assert await carrier.session.run(asking(b"a", b"b")) == [b"A", b"B"]
        assert await carrier.session.run(asking()) == []
        assert carrier.sent == [b"a", b"b"]

    asyncio.run(conversation())


def test_conversations_take_turns() -> None:
    async def conversation() -> None:
        carrier = Carrier()
        results = await asyncio.gather(
            *(carrier.session.run(asking(bytes([97 + n]), bytes([97 + n]))) for n in range(5))
        )
        assert results == [[bytes([65 + n])] * 2 for n in range(5)]
        assert carrier.sent == [bytes([97 + n]) for n in range(5) for _ in range(2)]

    asyncio.run(conversation())


def test_an_answer_in_the_very_call_is_taken() -> None:
    async def conversation() -> None:
        session = DlmsSession(lambda apdu: session.feed(apdu.upper()), "meter 7")
        assert await session.run(asking(*[b"x"] * 100)) == [b"X"] * 100

    asyncio.run(conversation())


def test_what_a_conversation_raises_arrives_and_the_session_goes_on() -> None:
    def failing() -> Steps:
        answer = yield b"a"
        raise DecodeError("nonsense", answer, 0, "9.5")

    async def conversation() -> None:
        carrier = Carrier()
        with pytest.raises(DecodeError, match="nonsense"):
            await carrier.session.run(failing())
        assert await carrier.session.run(asking(b"b")) == [b"B"]

    asyncio.run(conversation())


def test_silence_is_a_time_out_that_names_the_peer_and_ends_the_session() -> None:
    async def conversation() -> None:
        carrier = Carrier(answer=None)
        closed = asking(b"a")
        with pytest.raises(SessionTimeoutError, match=r"meter 7: it did not answer within 0\.05 s"):
            await carrier.session.run(closed)
        assert not carrier.session.is_open
        with pytest.raises(StopIteration):
            next(closed)
        carrier.session.feed(b"too late")
        with pytest.raises(WireError, match="meter 7 cannot be asked: it did not answer"):
            await carrier.session.run(asking(b"b"))
        assert carrier.sent == [b"a"]

    asyncio.run(conversation())


def test_each_answer_has_its_own_time() -> None:
    async def conversation() -> None:
        carrier = Carrier(answer=None)
        session = carrier.session
        asked = asyncio.create_task(session.run(asking(b"a", b"b"), timeout_s=1000.0))
        await asyncio.sleep(0)
        for _ in range(LOOKS):  # the first answer may take as long as this
            session._watch()
        session.feed(b"A")
        for _ in range(LOOKS):  # and the second as long again
            session._watch()
            assert session.is_open
        session.feed(b"B")
        assert await asked == [b"A", b"B"]
        assert session._timer is None

    asyncio.run(conversation())


def test_a_carrier_that_goes_away_tells_whoever_waits() -> None:
    async def conversation() -> None:
        carrier = Carrier(answer=None)
        asyncio.get_running_loop().call_later(0.01, carrier.session.detach, "the line was cut")
        with pytest.raises(WireError, match="meter 7 did not answer: the line was cut"):
            await carrier.session.run(asking(b"a"))
        with pytest.raises(WireError, match="cannot be asked: the line was cut"):
            await carrier.session.run(asking(b"b"))

    asyncio.run(conversation())


def test_a_carrier_that_refuses_to_send() -> None:
    def refuse(_apdu: bytes) -> None:
        raise WireError("no line")

    async def conversation() -> None:
        session = DlmsSession(refuse, "meter 7")
        with pytest.raises(WireError, match="no line"):
            await session.run(asking(b"a"))

    asyncio.run(conversation())


def test_an_abandoned_request_ends_the_session() -> None:
    async def conversation() -> None:
        carrier = Carrier(answer=None)
        task = asyncio.create_task(carrier.session.run(asking(b"a")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not carrier.session.is_open

    asyncio.run(conversation())


def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    async def conversation() -> None:
        carrier = Carrier()
        carrier.session.feed(b"stray")
        assert await carrier.session.run(asking(b"a")) == [b"A"]

    asyncio.run(conversation())


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
def test_a_session_over_a_wire(scheme: str, pki: Pki) -> None:
    def answer(wire: Wire, source: int, destination: int, apdu: bytes) -> None:
        wire.send(destination, 99, b"for another client")
        echo(wire, source, destination, apdu)
        if apdu == b"bye":
            wire.close()

    async def conversation() -> None:
        pair = await connect(scheme, pki, answer=answer)
        handler = SessionHandler(pair.wire, 16, 1)
        pair.wire._handler = handler
        assert await handler.session.run(asking(b"a", b"b")) == [b"a", b"b"]
        with pytest.raises(WireError, match="did not answer: the peer closed"):
            await handler.session.run(asking(b"bye", b"again"))
        assert pair.there.handlers[0].frames[0] == (16, 1, b"a")
        await pair.close()

    asyncio.run(conversation())


def test_what_nothing_answers_is_sent_and_gone_on_from() -> None:
    def conversation(end: bool) -> Steps:  # noqa: FBT001
        nothing = yield OneWay(b"a")
        nothing += yield OneWay(b"b")
        if end:
            return [nothing]
        return [(yield b"c"), (yield b""), nothing]

    async def scenario() -> None:
        carrier = Carrier(None)
        assert await carrier.session.run(conversation(end=True)) == [b""]
        assert carrier.sent == [b"a", b"b"]
        carrier = Carrier(None)
        running = asyncio.create_task(carrier.session.run(conversation(end=False)))
        await asyncio.sleep(0)
        assert carrier.sent == [b"a", b"b", b"c"]
        carrier.session.feed(b"C")
        assert carrier.sent == [b"a", b"b", b"c"], "waiting is not sending"
        carrier.session.feed(b"D")
        assert await running == [b"C", b"D", b""]

    asyncio.run(scenario())


def test_a_conversation_may_outlive_silence() -> None:
    def patient(tries: int) -> Steps:
        for attempt in range(tries):
            try:
                return [(yield bytes((97 + attempt,)))]
            except TimeoutError:
                continue
        raise TimeoutError

    async def scenario() -> None:
        sent: list[bytes] = []

        def send(apdu: bytes) -> None:
            sent.append(apdu)
            if apdu == b"c":
                session.feed(b"heard")

        session = DlmsSession(send, "meter 7", timeout_s=0.02)
        assert await session.run(patient(3)) == [b"heard"]
        assert sent == [b"a", b"b", b"c"]
        with pytest.raises(SessionTimeoutError, match="did not answer within"):
            await session.run(patient(2))
        assert not session.is_open

    asyncio.run(scenario())


def test_what_comes_unasked_has_a_taker() -> None:
    async def scenario() -> None:
        carrier = Carrier(None)
        carrier.session.feed(b"dropped")
        taken: list[bytes] = []
        carrier.session.unasked = taken.append
        carrier.session.feed(b"push")
        assert taken == [b"push"]

    asyncio.run(scenario())
