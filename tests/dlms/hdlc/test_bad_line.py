# SPDX-License-Identifier: Apache-2.0
"""A line that loses and corrupts: every APDU once and in order, or the link says it is down."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from dlms.hdlc.lines import Bench
from openami.dlms.hdlc.control import Kind
from openami.dlms.hdlc.link import LinkTimings, Message
from openami.dlms.hdlc.parameters import LinkParameters

messages = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6)
windows = st.builds(LinkParameters.symmetric, st.integers(4, 40), st.integers(1, 7))
chances = st.sampled_from([0, 0, 0, 0, 1, 2, 3])


def run(bench: Bench, sent: list[bytes]) -> None:
    """Ask one after the other until all are answered or the link is down."""
    bench.connect()
    while not bench.is_up and not bench.downs:
        assert bench.wait()
    for number, message in enumerate(sent, 1):
        if not bench.is_up:
            return
        bench.exchange(message)
        while len(bench.answers) < number and not bench.downs:
            assert bench.wait(), "somebody must wait for something"


@given(messages, windows, st.data())
@settings(max_examples=150, deadline=None)
def test_every_apdu_once_and_in_order_or_the_link_is_down(
    sent: list[bytes], proposal: LinkParameters, data: st.DataObject
) -> None:
    def spoil(octets: bytes) -> bytes:
        what = data.draw(chances) if octets else 0
        if what == 1:
            return b""
        if what == 2:
            cut = data.draw(st.integers(0, len(octets)))
            return octets[:cut]
        if what == 3:
            place = data.draw(st.integers(0, len(octets) - 1))
            return octets[:place] + bytes((octets[place] ^ 0x55,)) + octets[place + 1 :]
        return octets

    bench = Bench(proposal=proposal, timings=LinkTimings(retries=4), spoil=spoil)
    run(bench, sent)

    assert bench.requests == sent[: len(bench.requests)]
    assert bench.answers == sent[: len(bench.answers)]
    if not bench.downs:
        assert bench.answers == sent


@given(messages, windows, st.lists(st.integers(0, 30), max_size=6))
@settings(max_examples=100, deadline=None)
def test_a_few_losses_lose_no_apdu(
    sent: list[bytes], proposal: LinkParameters, losses: list[int]
) -> None:
    spoken = 0

    def spoil(octets: bytes) -> bytes:
        nonlocal spoken
        spoken += bool(octets)
        return b"" if spoken in losses else octets

    bench = Bench(proposal=proposal, timings=LinkTimings(retries=8), spoil=spoil)
    run(bench, sent)

    assert bench.answers == bench.requests == sent
    assert not bench.downs


@given(messages, windows, st.integers(2, 30))
@settings(max_examples=50, deadline=None)
def test_after_a_time_out_the_client_never_says_information_again_unasked(
    sent: list[bytes], proposal: LinkParameters, lost: int
) -> None:
    spoken = 0

    def spoil(octets: bytes) -> bytes:
        nonlocal spoken
        spoken += bool(octets)
        return b"" if spoken == lost else octets

    bench = Bench(proposal=proposal, spoil=spoil)
    run(bench, sent)

    # What the client says with P is followed by an answer, or by something else than I.
    turns = [(way, frame.control) for way, frame in bench.sent if frame.control.poll_final]
    for (way, _), (next_way, what) in pairwise(turns):
        if way == next_way == ">":
            assert what.kind is not Kind.I


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_noise_alone_makes_no_message(noise: list[bytes]) -> None:
    bench = Bench()
    bench.connect()
    for octets in noise:
        bench.heard(bench.secondary.receive(octets, bench.now))
        bench.at_client += bench.primary.receive(octets, bench.now)
    bench.run()

    assert not [event for event in bench.at_client + bench.at_server if isinstance(event, Message)]
    bench.now += 1.0
    bench.heard(bench.secondary.tick(bench.now))
    bench.at_client += bench.primary.tick(bench.now)
    bench.exchange(b"still here")
    assert bench.answers == [b"still here"]


def test_a_line_that_lets_only_short_frames_through_is_down() -> None:
    def spoil(octets: bytes) -> bytes:
        return octets if len(octets) < 45 else b""

    bench = Bench(spoil=spoil)
    run(bench, [b"short", bytes(60)])

    assert bench.answers == [b"short"]
    assert bench.downs == ["the line loses too much: no frame came through any more"]
