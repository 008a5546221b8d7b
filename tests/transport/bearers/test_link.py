# SPDX-License-Identifier: Apache-2.0
"""What becomes of packets: rates, loss, outages, sleep, sending time, in numbers that follow."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.transport.bearers.link import Link, Loss
from openami.transport.bearers.medium import EVENING, HOUR_S, Medium, Way
from openami.transport.bearers.parameters import Bearer, Range, preset, presets
from openami.transport.bearers.sender import Flow, Sender

QUIET = Bearer(
    name="quiet",
    down_bit_s=Range(8_000, 8_000),
    up_bit_s=Range(4_000, 4_000),
    round_trip_s=Range(0.2, 0.2),
    mtu_octets=1_000,
)


def bearer(figures: Mapping[str, object]) -> Bearer:
    return QUIET.with_figures(figures, "test")


def link(seed: int = 0, **figures: object) -> Link:
    return Link(Medium(bearer(figures), seed))


def all_arrivals(sender: Sender, until_s: float = 1e7) -> list[tuple[float, bytes]]:
    found = []
    while (due_s := sender.due_s()) is not None and due_s < until_s:
        found += [(due_s, octets) for octets in sender.step(due_s)]
    return found


def test_a_packet_takes_its_time_on_the_medium_and_half_a_round_trip() -> None:
    assert link().send(Way.UP, 500, 0.0).arrival_s == pytest.approx(1.0 + 0.1)
    assert link().send(Way.DOWN, 500, 0.0).arrival_s == pytest.approx(0.5 + 0.1)


def test_packets_of_one_way_queue_and_ways_do_not_wait_for_each_other() -> None:
    full = link()

    arrivals = [full.send(way, 500, 0.0).arrival_s for way in (Way.UP, Way.UP, Way.DOWN)]

    assert arrivals == pytest.approx([1.1, 2.1, 0.6])


def test_on_a_half_duplex_medium_all_links_and_both_ways_wait_for_each_other() -> None:
    medium = Medium(bearer({"half_duplex": True}))
    first, second = Link(medium, "first"), Link(medium, "second")

    arrivals = [
        first.send(Way.UP, 500, 0.0).arrival_s,
        second.send(Way.UP, 500, 0.0).arrival_s,
        first.send(Way.DOWN, 500, 0.0).arrival_s,
    ]

    assert arrivals == pytest.approx([1.1, 2.1, 2.6])


def test_frames_carry_their_headers() -> None:
    # 500 octets are two frames of 250, each with 50 octets in front.
    framed = link(frame_octets=250, overhead_octets=50)

    assert framed.send(Way.UP, 500, 0.0).arrival_s == pytest.approx(1.2 + 0.1)


def test_a_packet_longer_than_the_mtu_is_lost_and_says_so() -> None:
    assert link().send(Way.UP, 1_001, 0.0).loss is Loss.TOO_LONG


def test_losses_come_as_often_as_they_should_and_attempts_make_them_rare() -> None:
    once, thrice = link(loss=0.3), link(loss=0.3, attempts=3)

    lost_once = sum(once.send(Way.UP, 10, 0.0).loss is not None for _ in range(5_000))
    lost_thrice = sum(thrice.send(Way.UP, 10, 0.0).loss is not None for _ in range(5_000))

    assert lost_once == pytest.approx(1_500, abs=150)  # 4.6 standard deviations
    assert lost_thrice == pytest.approx(135, abs=60)


def test_each_attempt_costs_time_on_the_medium() -> None:
    tried = link(loss=0.5, attempts=20)

    arrivals = [fate.arrival_s for _ in range(200) if (fate := tried.send(Way.UP, 500, 0.0))]

    assert arrivals[-1] == pytest.approx(400, rel=0.3)  # two attempts of a second each


def test_weather_does_not_depend_on_who_asks_and_when() -> None:
    prime = preset("plc-prime")
    asked, fresh = Medium(prime, 5), Medium(prime, 5)
    for second in range(0, 90_000, 700):
        asked.back_s(second)
        asked.rate_bit_s(Way.UP, second)

    moments = range(0, 3_000_000, 13_000)

    assert [asked.back_s(moment) for moment in moments] == [
        fresh.back_s(moment) for moment in moments
    ]
    assert [asked.rate_bit_s(Way.UP, moment) for moment in moments] == [
        fresh.rate_bit_s(Way.UP, moment) for moment in moments
    ]


def test_another_seed_is_another_weather() -> None:
    prime = preset("plc-prime")
    rates = {Medium(prime, seed).rate_bit_s(Way.UP, 0.0) for seed in range(20)}

    assert len(rates) == 20
    assert all(prime.up_bit_s.low <= rate <= prime.up_bit_s.high for rate in rates)


def test_outages_come_as_often_and_last_as_long_as_they_should() -> None:
    medium = Medium(bearer({"outage_every_s": 10_000, "outage_s": [100, 400]}), 1)
    moment, lengths = 0.0, []
    while moment < 5e6:
        back_s = medium.back_s(moment)
        if back_s > moment:
            lengths.append(back_s - moment)
        moment = back_s + 1.0

    assert len(lengths) == pytest.approx(490, rel=0.2)
    assert all(98 <= length <= 400 for length in lengths)


@pytest.mark.parametrize(
    ("flow", "header"), [(Flow.STREAM, 40), (Flow.DATAGRAMS, 28), (Flow.LINE, 0)]
)
def test_headers_of_the_flow_cost_time_and_room(flow: Flow, header: int) -> None:
    """4,000 bit/s upwards, 0.1 s of latency, packets of 1,000 octets with their headers."""
    sender = Sender(link(), Way.UP, flow)
    sender.put(bytes(1_000 - header))
    assert all_arrivals(sender) == [(pytest.approx(2.0 + 0.1), bytes(1_000 - header))]

    longer = Sender(link(), Way.UP, flow)
    longer.put(bytes(1_001 - header))
    pieces = [len(octets) for _, octets in all_arrivals(longer)]
    assert pieces == ([] if flow is Flow.DATAGRAMS else [1_000 - header, 1])


def test_in_an_outage_datagrams_are_lost_and_a_stream_waits() -> None:
    troubled = bearer({"outage_every_s": 50, "outage_s": 1_000})
    medium = Medium(troubled)
    begin = next(moment for moment in range(5_000) if medium.back_s(moment) > moment)

    for flow in (Flow.DATAGRAMS, Flow.STREAM):
        sender = Sender(Link(Medium(troubled)), Way.UP, flow)
        sender.step(float(begin))
        sender.put(b"reading")
        sender.step(float(begin))
        arrivals = all_arrivals(sender)
        if flow is Flow.STREAM:
            assert [octets for _, octets in arrivals] == [b"reading"]
            assert arrivals[0][0] > medium.back_s(begin)
        else:
            assert arrivals == []
            assert sender.counts.lost == 1


def test_who_sleeps_hears_after_it_has_spoken_and_when_it_wakes() -> None:
    asleep = link(sleep_s=1_000, awake_s=10)

    assert asleep.send(Way.DOWN, 10, 5.0).arrival_s is not None
    assert asleep.send(Way.DOWN, 10, 11.0).again_s == pytest.approx(1_010)
    assert asleep.send(Way.DOWN, 10, 1_012.0).arrival_s is not None
    assert asleep.send(Way.UP, 10, 1_500.0).arrival_s is not None
    assert asleep.send(Way.DOWN, 10, 1_505.0).arrival_s is not None


def test_no_window_holds_more_sending_time_than_allowed() -> None:
    limited = link(duty=0.01, duty_window_s=1_000)
    sent, moment = [], 0.0
    for _ in range(60):
        fate = limited.send(Way.UP, 500, moment)  # a second on the air
        while fate.again_s is not None:
            moment = fate.again_s
            fate = limited.send(Way.UP, 500, moment)
        sent.append(fate.over_s)

    for end in sent:
        assert sum(1.0 for other in sent if end - 1_000 < other <= end) <= 10 + 1e-9
    assert sent[-1] > 4_900


def test_a_flow_that_was_idle_is_forgotten_until_the_device_speaks() -> None:
    cellular = link(nat_udp_s=60)

    assert cellular.send(Way.DOWN, 10, 0.0).loss is Loss.FORGOTTEN
    assert cellular.send(Way.UP, 10, 1.0).loss is None
    assert cellular.send(Way.DOWN, 10, 50.0).loss is None
    assert cellular.send(Way.DOWN, 10, 111.0).loss is Loss.FORGOTTEN


def test_the_evening_is_worst() -> None:
    prime = preset("plc-prime")
    by_hour = [Medium(prime, 3).loss(hour * HOUR_S) for hour in range(24)]

    assert max(by_hour) == max(by_hour[18:22])
    assert EVENING.index(max(EVENING)) in range(18, 22)
    assert Medium(prime, 3, hour=20.0).loss(0.0) > Medium(prime, 3, hour=3.0).loss(0.0)


def test_bits_are_wrong_as_often_as_they_should_be() -> None:
    noisy = link(bit_errors=1e-3)

    wrong = sum(len(noisy.send(Way.UP, 1_000, 0.0).damaged) for _ in range(200))

    assert wrong == pytest.approx(1_600, abs=200)


@given(
    name=st.sampled_from(sorted(presets())),
    seed=st.integers(0, 1_000),
    pieces=st.lists(st.binary(min_size=1, max_size=4_000), min_size=1, max_size=8),
    way=st.sampled_from(Way),
)
def test_a_stream_arrives_whole_and_in_order_over_any_bearer(
    name: str, seed: int, pieces: list[bytes], way: Way
) -> None:
    good = preset(name).with_figures({"bit_errors": 0}, "test")
    sender = Sender(Link(Medium(good, seed)), way, Flow.STREAM)
    for piece in pieces:
        sender.put(piece)

    arrivals = all_arrivals(sender)

    assert b"".join(octets for _, octets in arrivals) == b"".join(pieces)
    assert [moment for moment, _ in arrivals] == sorted(moment for moment, _ in arrivals)
    assert sender.waiting_octets == 0


@given(seed=st.integers(0, 1_000), count=st.integers(1, 60))
def test_each_datagram_arrives_once_or_is_counted_as_lost(seed: int, count: int) -> None:
    lossy = bearer({"loss": [0.1, 0.5], "round_trip_s": [0.1, 3.0]})
    sender = Sender(Link(Medium(lossy, seed)), Way.UP, Flow.DATAGRAMS)
    for number in range(count):
        sender.put(bytes((number,)))

    arrivals = [octets[0] for _, octets in all_arrivals(sender)]

    assert len(set(arrivals)) == len(arrivals)
    assert len(arrivals) + sender.counts.lost == count


def test_a_line_keeps_the_order_and_repeats_nothing() -> None:
    noisy = bearer({"loss": 0.2, "bit_errors": 1e-4, "round_trip_s": [0.01, 5.0]})
    sender = Sender(Link(Medium(noisy)), Way.UP, Flow.LINE)
    sent = bytes(range(250)) * 400
    sender.put(sent)

    heard = b"".join(octets for _, octets in all_arrivals(sender))

    assert len(heard) == len(sent) - 1_000 * sender.counts.lost
    assert 0 < sender.counts.lost < 100
    assert sender.counts.damaged > 0
