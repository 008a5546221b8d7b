# SPDX-License-Identifier: Apache-2.0
"""Two peers ask and answer each other, on good lines and bad ones."""

import random

import pytest

from coap.pairs import PATH, Bench, entropy
from openami.coap.block import Block
from openami.coap.layer import Transmission
from openami.coap.message import Message, uint
from openami.coap.numbers import Code, OptionNumber, Type
from openami.coap.peer import Answered, CoapPeer, PeerSettings, Requested

CALM = Transmission(ack_random_factor=1.0)


def test_the_response_goes_with_the_acknowledgement() -> None:
    bench = Bench()
    bench.ask(b"one")
    bench.ask(b"two")

    assert bench.said == ["> CON POST", "< ACK 2.04", "> CON POST", "< ACK 2.04"]
    assert bench.answers == bench.requests == [b"one", b"two"]
    assert bench.client.deadline is bench.server.deadline is None


def test_a_response_that_takes_its_time_goes_on_its_own() -> None:
    bench = Bench(answer=lambda _payload: None)
    bench.ask(b"slow")
    bench.wait()
    assert bench.said == ["> CON POST", "< ACK empty"]
    assert bench.now == pytest.approx(0.5)

    (event,) = bench.at_server
    assert isinstance(event, Requested)
    bench.server.respond(event.handle, Code.CHANGED, b"at last", bench.now)
    bench.run()
    assert bench.said[2:] == ["< CON 2.04", "> ACK empty"]
    assert bench.answers == [b"at last"]
    bench.server.respond(event.handle, Code.CHANGED, b"again", bench.now)
    bench.run()
    assert len(bench.said) == 4, "a request is answered once"


def test_a_separate_response_that_overtakes_its_acknowledgement() -> None:
    bench = Bench(answer=lambda _payload: None)
    bench.fate = lambda message, _way: [] if message.is_empty else [0]
    bench.ask(b"slow")
    bench.wait()
    (event,) = bench.at_server
    assert isinstance(event, Requested)
    bench.server.respond(event.handle, Code.CHANGED, b"here", bench.now)
    bench.run()

    assert bench.answers == [b"here"]
    assert bench.client.deadline is None, "the request is not said again"


def test_non_confirmable_requests_are_answered_likewise() -> None:
    bench = Bench()
    bench.ask(b"x", confirmable=False)

    assert bench.said == ["> NON POST", "< NON 2.04"]
    assert bench.answers == [b"x"]


def test_a_lost_non_confirmable_request_is_a_time_out() -> None:
    bench = Bench(client_settings=PeerSettings(response_s=7.0))
    bench.fate = lambda _message, _way: []
    bench.ask(b"x", confirmable=False)
    bench.finish()

    assert bench.said == ["> NON POST"]
    assert bench.failures == ["no response within 7 s"]


def test_what_is_not_acknowledged_is_said_again_with_longer_pauses() -> None:
    bench = Bench(client_settings=PeerSettings(transmission=CALM))
    bench.fate = lambda _message, _way: []
    bench.ask(b"x")
    times = [bench.now]
    while not bench.failures:
        bench.wait()
        times.append(bench.now)

    assert times == [0.0, 2.0, 6.0, 14.0, 30.0, 62.0]
    assert bench.said == ["> CON POST"] * 5
    assert bench.failures == ["not acknowledged, though it was sent 5 times"]
    assert bench.client.deadline is None


def test_the_first_pause_is_drawn_between_2_and_3_s() -> None:
    pauses = []
    for seed in range(30):
        peer = CoapPeer(PeerSettings(), entropy(seed))
        peer.request(Code.POST, PATH, b"", 10.0)
        assert peer.deadline is not None
        pauses.append(peer.deadline - 10.0)
    assert 2.0 <= min(pauses) < 2.2
    assert 2.8 < max(pauses) <= 3.0


def test_parameters_follow_from_each_other() -> None:
    standard = Transmission()  # table 3 of RFC 7252
    assert standard.max_transmit_span_s == 45
    assert standard.max_transmit_wait_s == 93
    assert standard.exchange_lifetime_s == 247
    assert standard.non_lifetime_s == 145


def test_a_request_that_comes_twice_is_done_once_and_answered_twice() -> None:
    bench = Bench()
    bench.fate = lambda message, _way: [0, 0] if message.type is Type.CON else [0]
    bench.ask(b"once")

    assert bench.requests == [b"once"]
    assert bench.said == ["> CON POST", "< ACK 2.04", "< ACK 2.04"]
    assert bench.answers == [b"once"]
    assert bench.server.layer.duplicates == 1


def test_after_its_lifetime_a_message_id_is_new() -> None:
    bench = Bench()
    message = Message(type=Type.CON, code=Code.POST, message_id=7, token=b"t", options=PATH)
    for now, times in ((0.0, 1), (246.0, 1), (248.0, 2)):
        bench.now = now
        bench.heard(bench.server.receive(message.encode(), now))
        assert len(bench.requests) == times


def test_one_confirmable_message_at_a_time() -> None:
    bench = Bench(client_settings=PeerSettings(transmission=CALM))
    bench.fate = lambda _message, _way: []
    for payload in (b"1", b"2", b"3"):
        bench.ask(payload)
    assert bench.said == ["> CON POST"]

    bench.fate = lambda _message, _way: [0]
    bench.wait()
    assert bench.requests == bench.answers == [b"1", b"2", b"3"]


@pytest.mark.parametrize("exponent", range(7))
@pytest.mark.parametrize("size", [1, 16, 17, 1024, 1025, 5000])
def test_long_requests_and_responses_in_blocks(size: int, exponent: int) -> None:
    bench = Bench(client_settings=PeerSettings(size_exponent=exponent))
    payload = random.Random(size).randbytes(size)
    bench.ask(payload)

    assert bench.requests == bench.answers == [payload]
    block = 16 << exponent
    blocks = -(-size // block)
    assert bench.said.count("> CON POST") == (2 * blocks - 1)
    assert bench.said.count("< ACK 2.31") == blocks - 1


def test_the_server_wants_smaller_blocks() -> None:
    bench = Bench(server_settings=PeerSettings(size_exponent=2))
    payload = random.Random(3).randbytes(3000)
    bench.ask(payload)

    assert bench.requests == bench.answers == [payload]


def test_a_request_that_is_longer_than_the_server_takes() -> None:
    bench = Bench(server_settings=PeerSettings(longest_payload_octets=2000))
    bench.ask(bytes(5000))

    (event,) = bench.at_client
    assert isinstance(event, Answered)
    assert event.code == Code.REQUEST_ENTITY_TOO_LARGE
    assert bench.requests == []


def test_a_server_that_says_413_with_a_size_gets_such_blocks() -> None:
    client = CoapPeer(PeerSettings(), entropy(1))
    client.request(Code.POST, PATH, bytes(3000), 0.0)
    asked = Message.decode(client.data_to_send()[0])
    smaller = Block(0, more=True, exponent=2)
    refused = Message(
        type=Type.ACK,
        code=Code.REQUEST_ENTITY_TOO_LARGE,
        message_id=asked.message_id,
        token=asked.token,
        options=((OptionNumber.BLOCK1, smaller.encode()),),
    )
    assert client.receive(refused.encode(), 0.1) == []
    again = Message.decode(client.data_to_send()[0])
    assert len(again.payload) == 64
    assert again.first(OptionNumber.BLOCK1) == smaller.encode()
    assert again.uint(OptionNumber.SIZE1) == 3000


def request(message_id: int, payload: bytes = b"", **options: bytes) -> bytes:
    rows = [*PATH, *((int(OptionNumber[name]), value) for name, value in options.items())]
    return Message(
        type=Type.CON,
        code=Code.POST,
        message_id=message_id,
        token=b"t",
        options=tuple(rows),
        payload=payload,
    ).encode()


class Server:
    """A server that is told datagrams and answers with what it is told."""

    def __init__(self, answer: bytes = b"done") -> None:
        self.bench = Bench(answer=lambda _payload: answer)

    def __call__(self, datagram: bytes) -> list[Message]:
        self.bench.heard(self.bench.server.receive(datagram, self.bench.now))
        return [Message.decode(each) for each in self.bench.server.data_to_send()]


def block(number: int, *, more: bool, exponent: int = 0) -> bytes:
    return Block(number, more, exponent).encode()


def test_a_block_that_is_missing() -> None:
    server = Server()
    (first,) = server(request(1, bytes(16), BLOCK1=block(0, more=True)))
    assert first.code == Code.CONTINUE
    (third,) = server(request(2, bytes(16), BLOCK1=block(2, more=True)))
    assert third.code == Code.REQUEST_ENTITY_INCOMPLETE
    (last,) = server(request(3, bytes(16), BLOCK1=block(1, more=False)))
    assert last.code == Code.REQUEST_ENTITY_INCOMPLETE
    assert server.bench.requests == []


def test_a_block_that_is_not_full_and_not_the_last() -> None:
    (answer,) = Server()(request(1, bytes(15), BLOCK1=block(0, more=True)))
    assert answer.code == Code.BAD_REQUEST


def test_a_request_that_begins_anew() -> None:
    server = Server()
    server(request(1, b"a" * 16, BLOCK1=block(0, more=True)))
    server(request(2, b"b" * 16, BLOCK1=block(0, more=True)))
    (answer,) = server(request(3, b"c", BLOCK1=block(1, more=False)))
    assert answer.code == Code.CHANGED
    assert answer.first(OptionNumber.BLOCK1) == block(1, more=False)
    assert server.bench.requests == [b"b" * 16 + b"c"]


def test_a_size_that_is_announced_and_too_long() -> None:
    server = Server()
    (answer,) = server(request(1, bytes(16), BLOCK1=block(0, more=True), SIZE1=uint(1 << 20)))
    assert answer.code == Code.REQUEST_ENTITY_TOO_LARGE
    assert answer.uint(OptionNumber.SIZE1) == 0x10000 + 64


def test_a_block_of_no_response() -> None:
    (answer,) = Server()(request(1, BLOCK2=block(1, more=False)))
    assert answer.code == Code.REQUEST_ENTITY_INCOMPLETE


def test_blocks_of_a_response_of_a_size_that_the_client_chooses() -> None:
    server = Server(answer=bytes(range(50)))
    (first,) = server(request(1, BLOCK2=block(0, more=False)))
    assert first.payload == bytes(range(16))
    assert first.uint(OptionNumber.SIZE2) == 50
    (second,) = server(request(2, BLOCK2=block(1, more=False)))
    assert second.payload == bytes(range(16, 32))
    assert server.bench.requests == [b""], "it is done once"


@pytest.mark.parametrize("name", ["BLOCK1", "BLOCK2"])
def test_a_reserved_block_size(name: str) -> None:
    (answer,) = Server()(request(1, b"x", **{name: b"\x07"}))
    assert answer.code == Code.BAD_OPTION
    assert b"exponent 7 is reserved" in answer.payload


def test_a_critical_option_that_is_not_known() -> None:
    (answer,) = Server()(request(1, b"x", OSCORE=b"\x09"))
    assert answer.code == Code.BAD_OPTION
    assert b"[9]" in answer.payload


def test_a_ping_is_answered_with_a_reset() -> None:
    ping = Message(type=Type.CON, code=0, message_id=99)
    (answer,) = Server()(ping.encode())
    assert (answer.type, answer.code, answer.message_id) == (Type.RST, 0, 99)


def test_confirmable_nonsense_is_reset_and_other_nonsense_dropped() -> None:
    server = Server()
    (answer,) = server(bytes.fromhex("40c0 1234"))
    assert (answer.type, answer.message_id) == (Type.RST, 0x1234)
    assert server(bytes.fromhex("50c0 1234")) == []
    assert server(b"\x80\x01\x00\x00") == []
    assert server.bench.server.layer.dropped == 3


def test_a_response_to_nothing_is_reset() -> None:
    stray = Message(type=Type.CON, code=Code.CHANGED, message_id=5, token=b"?")
    (answer,) = Server()(stray.encode())
    assert (answer.type, answer.message_id) == (Type.RST, 5)
    assert Server()(Message(type=Type.NON, code=Code.CHANGED, message_id=6).encode()) == []
    assert Server()(Message(type=Type.ACK, code=Code.CHANGED, message_id=6).encode()) == []


def test_a_request_that_the_peer_resets() -> None:
    bench = Bench()
    bench.fate = lambda _message, _way: []
    bench.ask(b"x")
    message_id = next(iter(bench.client.layer._outstanding))
    reset = Message(type=Type.RST, code=0, message_id=message_id)
    bench.arrive("<", reset.encode())
    assert bench.failures == ["the peer rejected the message (RST)"]


def answer_in_block(sent: Message, payload: bytes, **options: bytes) -> bytes:
    return Message(
        type=Type.ACK,
        code=Code.CHANGED,
        message_id=sent.message_id,
        token=sent.token,
        options=tuple((int(OptionNumber[name]), value) for name, value in options.items()),
        payload=payload,
    ).encode()


@pytest.mark.parametrize(
    ("payload", "options", "reason"),
    [
        (bytes(16), {"BLOCK2": block(2, more=True)}, "block 2 came where octet 16 was expected"),
        (bytes(15), {"BLOCK2": block(1, more=True)}, "block 1 has 15 octets and is not the last"),
        (bytes(16), {"BLOCK2": block(1, more=True), "ETAG": b"2"}, "the response changed"),
        (b"", {"BLOCK2": b"\x07"}, "the response cannot be used: block size exponent 7"),
        (b"", {"OSCORE": b""}, "critical options that are not known"),
    ],
)
def test_responses_that_cannot_be_put_together(
    payload: bytes, options: dict[str, bytes], reason: str
) -> None:
    bench = Bench()
    bench.client.request(Code.POST, PATH, b"x", 0.0)
    (sent,) = map(Message.decode, bench.client.data_to_send())
    bench.arrive("<", answer_in_block(sent, bytes(16), BLOCK2=block(0, more=True)))
    (sent,) = map(Message.decode, bench.client.data_to_send())
    assert sent.payload == b""
    bench.arrive("<", answer_in_block(sent, payload, **options))
    assert len(bench.failures) == 1
    assert reason in bench.failures[0]


def test_a_response_without_end() -> None:
    bench = Bench(client_settings=PeerSettings(longest_payload_octets=40))
    bench.client.request(Code.POST, PATH, b"x", 0.0)
    for number in range(3):
        (sent,) = map(Message.decode, bench.client.data_to_send())
        bench.arrive("<", answer_in_block(sent, bytes(16), BLOCK2=block(number, more=True)))
    assert bench.failures == ["the response is longer than 40 octets"]


@pytest.mark.parametrize("seed", range(12))
def test_everything_comes_through_a_bad_line_once(seed: int) -> None:
    drawn = random.Random(seed)

    def fate(_message: Message, _way: str) -> list[int]:
        chance = drawn.random()
        if chance < 0.15:
            return []
        return [0, drawn.randrange(9)] if chance < 0.3 else [drawn.choice([0, 0, 0, 1, 4])]

    settings = PeerSettings(transmission=Transmission(max_retransmit=12), response_s=1e6)
    bench = Bench(settings, settings, fate=fate)
    payloads = [drawn.randbytes(size) for size in (3, 2000, 17, 5000, 1024)]
    for payload in payloads:
        bench.ask(payload)
        while len(bench.answers) < len(payloads[: payloads.index(payload) + 1]):
            assert bench.wait()
    bench.finish()

    assert bench.requests == bench.answers == payloads
    assert bench.failures == []
    assert bench.client.layer.repeated > 0


@pytest.mark.parametrize("seed", range(8))
def test_late_answers_come_through_a_bad_line_once(seed: int) -> None:
    drawn = random.Random(seed)
    settings = PeerSettings(transmission=Transmission(max_retransmit=12), response_s=1e6)
    bench = Bench(settings, settings, answer=lambda _payload: None)
    bench.fate = lambda _message, _way: (
        [] if drawn.random() < 0.2 else [0, *[1] * (drawn.random() < 0.1)]
    )
    for number in range(10):
        payload = bytes([number]) * drawn.choice([3, 1500])
        bench.ask(payload)
        while len(bench.requests) <= number:
            assert bench.wait()
        assert bench.requests[number] == payload
        bench.wait()
        event = [each for each in bench.at_server if isinstance(each, Requested)][number]
        bench.server.respond(event.handle, Code.CHANGED, payload, bench.now)
        bench.run()
        while len(bench.answers) <= number:
            assert bench.wait()
    bench.finish()

    assert bench.answers == bench.requests
    assert len(bench.answers) == 10
    assert bench.failures == []


def test_both_ends_may_ask() -> None:
    bench = Bench()
    handle = bench.server.request(Code.POST, PATH, b"push", 0.0)
    bench.run()
    (event,) = bench.at_client
    assert isinstance(event, Requested)
    bench.client.respond(event.handle, Code.CHANGED, b"", 0.0)
    bench.run()

    assert bench.said == ["< CON POST", "> ACK 2.04"]
    assert bench.at_server == [Answered(handle, Code.CHANGED, (), b"")]


def test_random_datagrams_change_nothing() -> None:
    drawn = random.Random(0)
    server = Server()
    for _ in range(5000):
        size = drawn.randrange(40)
        head = bytes((0x40 | drawn.randrange(64),)) if drawn.random() < 0.7 else b""
        server(head + drawn.randbytes(size))
    before = len(server.bench.requests)
    server.bench.server.tick(1e9)
    server.bench.server.data_to_send()
    server.bench.now = 1e9
    (answer,) = server(request(4, b"still"))
    assert answer.code == Code.CHANGED
    assert len(server.bench.requests) == before + 1
