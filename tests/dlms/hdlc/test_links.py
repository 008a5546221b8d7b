# SPDX-License-Identifier: Apache-2.0
"""Two stations on a good line: what is said, in which order."""

import pytest

from dlms.hdlc.lines import CLIENT, SERVER, Bench
from openami.dlms.errors import LocalProtocolError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.link import Connected, Disconnected, LinkTimings, Message, Unnumbered
from openami.dlms.hdlc.parameters import DEFAULTS, GENEROUS, LinkParameters
from openami.dlms.hdlc.states import State


def test_a_short_conversation() -> None:
    bench = Bench(proposal=DEFAULTS)
    bench.connect()
    bench.exchange(b"one")
    bench.exchange(b"two")
    bench.primary.disconnect(bench.now)
    bench.run()

    assert bench.said == [
        "> SNRM P/F",
        "< UA P/F",
        "> I N(S)=0 N(R)=0 P/F",
        "< I N(S)=0 N(R)=1 P/F",
        "> I N(S)=1 N(R)=1 P/F",
        "< I N(S)=1 N(R)=2 P/F",
        "> DISC P/F",
        "< UA P/F",
    ]
    assert bench.answers == bench.requests == [b"one", b"two"]
    assert bench.downs == ["disconnected"]
    assert bench.primary.state is State.NDM
    assert bench.secondary.links == {}
    assert isinstance(bench.at_server[0], Connected)
    assert isinstance(bench.at_server[-1], Disconnected)
    assert bench.primary.deadline is None
    assert bench.secondary.deadline is None


def test_each_segment_is_acknowledged_with_window_1() -> None:
    bench = Bench(proposal=LinkParameters.symmetric(10, 1))
    bench.connect()
    bench.exchange(bytes(24))  # and 3 octets of LLC header: 3 segments of 10, 10, 7

    assert bench.said[2:] == [
        "> I N(S)=0 N(R)=0 P/F S",
        "< RR N(R)=1 P/F",
        "> I N(S)=1 N(R)=0 P/F S",
        "< RR N(R)=2 P/F",
        "> I N(S)=2 N(R)=0 P/F",
        "< I N(S)=0 N(R)=3 P/F S",
        "> RR N(R)=1 P/F",
        "< I N(S)=1 N(R)=3 P/F S",
        "> RR N(R)=2 P/F",
        "< I N(S)=2 N(R)=3 P/F",
    ]
    assert bench.answers == bench.requests == [bytes(24)]


def test_a_window_of_three_gives_the_word_with_its_last_frame() -> None:
    bench = Bench(proposal=LinkParameters.symmetric(10, 3))
    bench.connect()
    bench.exchange(bytes(34))

    assert bench.said[2:] == [
        "> I N(S)=0 N(R)=0 S",
        "> I N(S)=1 N(R)=0 S",
        "> I N(S)=2 N(R)=0 P/F S",
        "< RR N(R)=3 P/F",
        "> I N(S)=3 N(R)=0 P/F",
        "< I N(S)=0 N(R)=4 S",
        "< I N(S)=1 N(R)=4 S",
        "< I N(S)=2 N(R)=4 P/F S",
        "> RR N(R)=3 P/F",
        "< I N(S)=3 N(R)=4 P/F",
    ]
    assert bench.answers == [bytes(34)]


@pytest.mark.parametrize("window", range(1, 8))
@pytest.mark.parametrize("size", [1, 16, 128, 2030])
def test_messages_of_any_length_with_any_window(size: int, window: int) -> None:
    bench = Bench(proposal=LinkParameters.symmetric(size, window))
    messages = [bytes([n % 256]) * n for n in (1, 13, 64, 125, 126, 500, 65_535 // (2030 // size))]
    bench.connect()
    for message in messages:
        bench.exchange(message)

    assert bench.answers == bench.requests == messages
    assert all(len(frame.information) <= max(size, 25) for _, frame in bench.sent)


def test_both_ends_settle_on_what_both_can_do() -> None:
    bench = Bench(
        proposal=LinkParameters(max_information_receive_octets=400, window_transmit=5),
        capabilities=LinkParameters.symmetric(300, 3),
    )
    bench.connect()

    (connected,) = bench.connections()
    assert connected.parameters == LinkParameters(
        max_information_receive_octets=300, window_transmit=3
    )
    assert isinstance(bench.at_server[0], Connected)
    assert bench.at_server[0].parameters == LinkParameters(
        max_information_transmit_octets=300, window_receive=3
    )


@pytest.mark.parametrize(
    "server", [Address(1), Address(1, 17, 2), Address(1, 17, 4), Address(300, 4000, 4)]
)
def test_each_size_of_address(server: Address) -> None:
    bench = Bench(server=server)
    bench.connect()
    bench.exchange(b"hello")

    assert bench.answers == [b"hello"]


def test_two_clients_have_a_link_each() -> None:
    bench = Bench()
    bench.connect()
    first, other = bench.primary, Bench(client=Address.client(1)).primary
    bench.primary = other
    bench.connect()
    bench.exchange(b"other")
    bench.primary = first
    bench.exchange(b"first")

    assert bench.requests == [b"other", b"first"]
    assert len(bench.secondary.links) == 2
    assert len(bench.secondary.lost("the line was cut")) == 2
    assert bench.secondary.links == {}


def test_a_new_snrm_drops_the_link_that_stood() -> None:
    bench = Bench()
    bench.connect()
    bench.exchange(b"one")
    bench.connect()
    bench.exchange(b"two")

    kinds = [type(event) for event in bench.at_server]
    assert kinds == [Connected, Message, Disconnected, Connected, Message]
    assert bench.said[-2:] == ["> I N(S)=0 N(R)=0 P/F", "< I N(S)=0 N(R)=1 P/F"]


def test_an_answer_that_takes_its_time_is_polled_for() -> None:
    bench = Bench(timings=LinkTimings(answer_s=1.0, poll_s=0.5))
    bench.connect()
    bench.heard = bench.at_server.extend  # type: ignore[method-assign,assignment]  # nobody answers yet
    bench.exchange(b"slow")
    assert bench.said[2:] == ["> I N(S)=0 N(R)=0 P/F"]
    bench.wait()
    assert bench.said[-1] == "< RR N(R)=1 P/F"
    bench.wait()
    assert bench.said[-2:] == ["> RR N(R)=0 P/F", "< RR N(R)=1 P/F"]

    pair = next(iter(bench.secondary.links))
    bench.secondary.answer(pair, b"at last", bench.now)
    bench.run()
    assert bench.answers == [], "it is not the server's turn"
    bench.wait()
    assert bench.said[-2:] == ["> RR N(R)=0 P/F", "< I N(S)=0 N(R)=1 P/F"]
    assert bench.answers == [b"at last"]


def test_a_request_that_wants_no_answer_is_acknowledged() -> None:
    bench = Bench(answer=lambda _apdu: None)
    bench.connect()
    bench.exchange(b"unconfirmed")

    assert bench.said[-1] == "< RR N(R)=1 P/F"
    assert bench.requests == [b"unconfirmed"]


def test_requests_that_come_faster_than_answers_wait() -> None:
    bench = Bench(proposal=LinkParameters.symmetric(20, 2))
    bench.connect()
    for n in range(5):
        bench.primary.send(bytes([n]) * 30, bench.now)
    bench.run()
    while len(bench.answers) < 5:
        assert bench.wait()

    assert bench.requests == bench.answers == [bytes([n]) * 30 for n in range(5)]


def test_nothing_is_sent_without_a_link() -> None:
    bench = Bench()

    with pytest.raises(LocalProtocolError, match="I has no place in state NDM"):
        bench.primary.send(b"early", 0.0)
    bench.primary.disconnect(0.0)
    assert bench.primary.data_to_send() == b""


def test_silence_ends_the_link_on_both_sides() -> None:
    bench = Bench(timings=LinkTimings(inactivity_s=10.0))
    bench.connect()
    while bench.wait():
        pass

    assert bench.now == 10.0
    assert bench.downs == ["nothing was said for 10 s"]
    assert bench.at_server[-1] == Disconnected(bench.primary.pair, "nothing was said for 10 s")
    assert bench.secondary.links == {}


def test_a_poll_now_and_then_keeps_the_link() -> None:
    bench = Bench(timings=LinkTimings(inactivity_s=10.0, keep_alive_s=4.0))
    bench.connect()
    for _ in range(8):
        bench.wait()

    assert bench.is_up
    assert bench.now == 32.0
    assert bench.said[2:4] == ["> RR N(R)=0 P/F", "< RR N(R)=0 P/F"]
    bench.exchange(b"still there")
    assert bench.answers == [b"still there"]


def test_notifications_need_no_link() -> None:
    bench = Bench()
    bench.secondary.notify(1, CLIENT, b"\x0f" + bytes(300), 0.0)
    bench.run()

    assert bench.said == ["< UI S", "< UI S", "< UI P/F"]
    assert bench.at_client == [Unnumbered(SERVER, CLIENT, b"\x0f" + bytes(300))]


def test_a_client_may_speak_to_all_without_a_link() -> None:
    bench = Bench()
    everyone = Address(0x7F, 0x7F, 2)
    bench.primary.send_unnumbered(b"\xc1" + bytes(200), 0.0, destination=everyone)
    bench.run()

    assert bench.said == ["> UI S", "> UI"]
    assert bench.at_server == [Unnumbered(CLIENT, everyone, b"\xc1" + bytes(200))]


def test_the_device_that_calls_tells_its_address() -> None:
    bench = Bench()
    bench.secondary.calling = True
    bench.primary = Bench(server=Address(1, 0x7E, 2)).primary
    bench.connect()
    bench.exchange(b"who are you")

    assert bench.primary.pair.server == SERVER
    assert bench.answers == [b"who are you"]
    assert not bench.secondary.calling


def test_more_clients_than_links_are_refused() -> None:
    bench = Bench(server=Address(1, 17, 4), proposal=GENEROUS)
    bench.secondary.station = bench.secondary.station._replace(logical=frozenset(range(1, 400)))
    for logical in range(1, 130):
        bench.primary = Bench(server=Address(logical, 17, 4)).primary
        bench.connect()

    assert len(bench.secondary.links) == 128
    assert bench.downs == ["the meter refuses the link"]
