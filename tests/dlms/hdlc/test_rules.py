# SPDX-License-Identifier: Apache-2.0
"""Rules of IEC 62056-46 and -7-6 that stand alone: busy servers, polls, user data, callers."""

import pytest

from dlms.hdlc.lines import CLIENT, SERVER, Bench, command
from dlms.hdlc.test_faults import Client, Server
from openami.dlms.errors import LocalProtocolError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import (
    Connected,
    Disconnected,
    LinkTimings,
    Message,
    Unnumbered,
)
from openami.dlms.hdlc.llc import FROM_CLIENT, FROM_SERVER
from openami.dlms.hdlc.parameters import (
    DEFAULTS,
    LinkParameters,
    read_user_data,
    user_data_field,
)
from openami.dlms.hdlc.secondary import SecondaryStation
from openami.dlms.hdlc.states import State

# Receive not ready ---------------------------------------------------------------------------


def test_a_busy_server_takes_nothing_until_it_is_ready() -> None:
    bench = Bench(timings=LinkTimings(poll_s=0.5))
    bench.connect()
    bench.secondary.busy = True
    bench.exchange(b"patience")
    assert bench.said[2:] == ["> I N(S)=0 N(R)=0 P/F", "< RNR N(R)=0 P/F"]
    bench.wait()
    assert bench.said[-2:] == ["> RR N(R)=0 P/F", "< RNR N(R)=0 P/F"]
    assert bench.requests == []

    bench.secondary.busy = False
    bench.wait()
    assert bench.said[-4:] == [
        "> RR N(R)=0 P/F",
        "< RR N(R)=0 P/F",
        "> I N(S)=0 N(R)=0 P/F",
        "< I N(S)=0 N(R)=1 P/F",
    ]
    assert bench.requests == bench.answers == [b"patience"]


def test_a_server_that_is_busy_for_long_is_polled_for_long() -> None:
    bench = Bench(timings=LinkTimings(poll_s=0.5, retries=2))
    bench.connect()
    bench.secondary.busy = True
    bench.exchange(b"patience")
    for _ in range(50):
        bench.wait()

    assert bench.is_up
    assert bench.downs == []


def test_a_server_that_is_busy_in_the_middle_of_segments() -> None:
    bench = Bench(proposal=LinkParameters.symmetric(10, 3))
    bench.connect()
    bench.primary.send(bytes(range(60)), bench.now)
    upward = bench.primary.data_to_send()
    bench.heard(bench.secondary.receive(upward, bench.now))
    bench.secondary.busy = True
    bench.run()
    bench.wait()
    assert bench.requests == []
    bench.secondary.busy = False
    while not bench.answers:
        assert bench.wait()

    assert bench.requests == bench.answers == [bytes(range(60))]


def test_a_link_that_comes_up_at_a_busy_server_is_told() -> None:
    bench = Bench()
    bench.secondary.busy = True
    assert bench.secondary.busy
    bench.connect()
    bench.exchange(b"x")
    assert bench.said[-1] == "< RNR N(R)=0 P/F"


# Notifications that are polled for -----------------------------------------------------------


@pytest.mark.parametrize("linked", [False, True])
def test_events_come_one_a_poll(*, linked: bool) -> None:
    bench = Bench(client=Address.client(1))
    if linked:
        bench.connect()
    for event in (b"\xc2one", b"\xc2two"):
        bench.secondary.notify(1, bench.client, event, 0.0, when_polled=True)
    bench.run()
    start = len(bench.said)
    for _ in range(2):
        bench.primary.poll_events(bench.now)
        bench.run()

    assert bench.said[start:] == ["> UI P/F", "< UI P/F", "> UI P/F", "< UI P/F"]
    got = [event for event in bench.at_client if isinstance(event, Unnumbered)]
    assert [event.apdu for event in got] == [b"\xc2one", b"\xc2two"]
    assert got[0] == Unnumbered(SERVER, bench.client, b"\xc2one")
    if linked:
        bench.exchange(b"and the link goes on")
        assert bench.answers == [b"and the link goes on"]


def test_a_poll_without_an_event_on_a_link_is_answered_with_rr() -> None:
    bench = Bench()
    bench.connect()
    bench.primary.poll_events(bench.now)
    bench.run()

    assert bench.said[2:] == ["> UI P/F", "< RR N(R)=0 P/F"]
    bench.exchange(b"x")
    assert bench.answers == [b"x"]


def test_a_poll_without_an_event_and_without_a_link_is_not_answered() -> None:
    bench = Bench(timings=LinkTimings(response_s=2.0))
    bench.primary.poll_events(0.0)
    bench.run()
    assert bench.said == ["> UI P/F"]
    with pytest.raises(LocalProtocolError, match="UI P/F has no place in state waiting"):
        bench.primary.poll_events(0.1)
    bench.wait()
    assert bench.now == 2.0
    assert bench.at_client == []
    bench.primary.poll_events(bench.now)
    assert bench.primary.data_to_send() == command(Kind.UI)


def test_events_of_another_client_stay() -> None:
    bench = Bench(client=Address.client(2))
    bench.secondary.notify(1, Address.client(1), b"\xc2x", 0.0, when_polled=True)
    bench.primary.poll_events(0.0)
    bench.run()
    assert bench.at_client == []

    other = Bench(client=Address.client(1)).primary
    bench.primary = other
    other.poll_events(0.0)
    bench.run()
    assert bench.at_client == [Unnumbered(SERVER, Address.client(1), b"\xc2x")]


def test_an_event_that_waits_for_its_poll_is_not_segmented() -> None:
    bench = Bench()
    with pytest.raises(ValueError, match=r"126 octets .* one UI frame of 125"):
        bench.secondary.notify(1, CLIENT, bytes(126), 0.0, when_polled=True)
    bench.secondary.notify(1, CLIENT, bytes(125), 0.0, when_polled=True)


def test_unsolicited_frames_without_llc_header_after_the_first() -> None:
    client = Client()
    for information in (FROM_SERVER + b"\xe0block 1", b"\xe0block 2"):
        events = client.hear(Kind.UI, information)
        assert [each.apdu for each in events if isinstance(each, Unnumbered)] == [
            information.removeprefix(FROM_SERVER)
        ]
    assert client.link.state is State.CONNECTING, "they answer nothing"
    assert client.said() == []


def test_what_is_said_to_all_has_the_llc_address_of_all_and_p_0() -> None:
    bench = Bench()
    everyone = Address(0x7F, 0x7F, 2)
    bench.primary.send_unnumbered(b"\xc1x", 0.0, destination=everyone)
    octets = bench.primary.data_to_send()
    frame = Frame.decode(octets)
    assert frame.information == b"\xff\xe6\x00\xc1x"
    assert not frame.control.poll_final
    assert bench.secondary.receive(octets, 0.0) == [Unnumbered(CLIENT, everyone, b"\xc1x")]
    assert bench.secondary.data_to_send() == b""


@pytest.mark.parametrize("poll", [True, False])
def test_information_to_all_is_discarded(*, poll: bool) -> None:
    server = Server()
    server(command(Kind.SNRM))
    what = control(Kind.I, poll_final=poll)
    for everyone in (Address(0x7F, 0x7F, 2), Address(1, 0x7F, 2), Address(0x7F, 17, 2)):
        assert server(Frame(everyone, CLIENT, what, FROM_CLIENT + b"x").encode()) == []
    assert server.bench.requests == []


# User data ---------------------------------------------------------------------------------------


def test_user_data_beside_snrm_ua_and_disc() -> None:
    bench = Bench(capabilities=LinkParameters(user_data=b"from the server"))
    bench.primary.connect(0.0, b"from the client")
    bench.run()
    (here,), there = list(bench.connections()), bench.at_server[0]
    assert here.user_data == b"from the server"
    assert isinstance(there, Connected)
    assert there.user_data == b"from the client"
    assert here.parameters.user_data == there.parameters.user_data == b""

    bench.primary.disconnect(bench.now, b"good bye")
    bench.run()
    last = bench.at_server[-1]
    assert isinstance(last, Disconnected)
    assert last.user_data == b"good bye"
    assert bench.downs == ["disconnected"]
    bench.connect()
    assert isinstance(bench.at_server[-1], Connected)
    assert bench.at_server[-1].user_data == b"", "it is not said again"


def test_user_data_is_said_again_with_a_repeated_snrm() -> None:
    bench = Bench()
    bench.primary.connect(0.0, b"once")
    assert LinkParameters.decode(Frame.decode(bench.primary.data_to_send()).information)
    bench.primary.tick(3.0)
    again = Frame.decode(bench.primary.data_to_send())
    assert LinkParameters.decode(again.information).user_data == b"once"


@pytest.mark.parametrize("user_data", [b"", b"\x00", b"RLRQ"])
def test_the_user_data_of_disc(user_data: bytes) -> None:
    assert read_user_data(user_data_field(user_data)) == user_data
    assert read_user_data(b"\x81\x99") == b""


def test_disc_with_information_that_makes_no_sense_still_disconnects() -> None:
    server = Server()
    server(command(Kind.SNRM))
    assert server(command(Kind.DISC, b"nonsense")) == ["UA P/F"]


# SNRM and UA -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "information",
    [
        "",
        "818000",
        "8180140502008006020080070400000001080400000001",  # values in two octets, LL = 14
        "8180120501800601800704000000010804 00000001",
        "81800c050100060100070100080100",  # 0 is the default
    ],
)
def test_ways_to_say_the_default(information: str) -> None:
    assert LinkParameters.decode(bytes.fromhex(information)) == DEFAULTS


@pytest.mark.parametrize("octets", [1, 2])
def test_lengths_of_one_and_two_octets(octets: int) -> None:
    value = 200
    tlv = b"".join(bytes((n, octets)) + value.to_bytes(octets) for n in (5, 6))
    server = Server(LinkParameters.symmetric(2030, 7))
    assert server(command(Kind.SNRM, bytes((0x81, 0x80, len(tlv))) + tlv)) == ["UA P/F"]
    settled = LinkParameters.decode(server.last.information)
    assert settled.max_information_receive_octets == value
    assert settled.max_information_transmit_octets == value


def test_more_than_anybody_can_do_is_settled_on_what_we_can() -> None:
    tlv = bytes.fromhex("0502ffff0602ffff0704000000ff0804000000ff")
    server = Server(LinkParameters.symmetric(2030, 7))
    server(command(Kind.SNRM, bytes((0x81, 0x80, len(tlv))) + tlv))
    settled = LinkParameters.decode(server.last.information)
    assert settled == LinkParameters.symmetric(2030, 7)


def test_an_unnumbered_acknowledgement_without_information_means_the_default() -> None:
    client = Client()
    (event,) = client.hear(Kind.UA)
    assert isinstance(event, Connected)
    assert event.parameters == DEFAULTS


# Recovery ----------------------------------------------------------------------------------------


def test_after_a_rejection_only_snrm_or_disc_leads_on() -> None:
    client = Client()
    client.hear(Kind.UA)
    client.hear(Kind.FRMR, b"\x10\x00\x08")
    with pytest.raises(LocalProtocolError):
        client.link.send(b"x", 1.0)
    client.link.connect(1.0)
    assert client.said() == ["SNRM P/F"]


@pytest.mark.parametrize("segments", range(1, 9))
def test_every_final_segment_of_a_long_response_is_acknowledged(segments: int) -> None:
    bench = Bench(
        proposal=LinkParameters.symmetric(10, 3), answer=lambda _apdu: bytes(10 * segments - 3)
    )
    bench.connect()
    bench.exchange(b"x")

    downward = [frame for way, frame in bench.sent if way == "<" and frame.control.kind is Kind.I]
    assert [frame.segmented for frame in downward] == [True] * (segments - 1) + [False]
    turns = sum(frame.segmented and frame.control.poll_final for frame in downward)
    assert sum(each.startswith("> RR") for each in bench.said) == turns


def test_a_meter_makes_a_long_response_in_fragments() -> None:
    """The data link of some meters sends a response as it is made (6.4.4.5, long response)."""
    client = Client()
    client.hear(Kind.UA)
    client.link.send(b"x", 0.0)
    client.said()

    def segment(number: int, part: bytes, *, more: bool) -> list[object]:
        what = control(Kind.I, receive_number=1, send_number=number)
        frame = Frame(CLIENT, SERVER, what, part, segmented=more)
        return list(client.link.receive(frame.encode(), 0.0))

    assert segment(0, FROM_SERVER + b"a", more=True) == []
    assert client.said() == ["RR N(R)=1 P/F"]
    assert client.hear(Kind.RR, receive_number=1) == [], "the next fragment is being made"
    assert client.link.deadline is not None
    client.link.tick(client.link.deadline)
    assert client.said() == ["RR N(R)=1 P/F"]
    assert segment(1, b"b", more=True) == []
    assert client.said() == ["RR N(R)=2 P/F"]
    assert segment(2, b"c", more=False) == [Message(client.link.pair, b"abc")]


# Addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Address(1, 0x7E, 2), Address(1, 17, 2)),
        (Address(1, 0x3FFE, 4), Address(1, 17, 4)),
    ],
)
def test_a_calling_device_answers_in_as_many_octets_as_it_was_asked(
    asked: Address, told: Address
) -> None:
    bench = Bench(server=Address(1, 17, 2))
    bench.secondary.calling = True
    bench.primary = Bench(server=asked).primary
    bench.connect()

    assert bench.primary.pair.server == told
    assert not bench.secondary.calling


@pytest.mark.parametrize("size", [2, 4])
def test_a_server_answers_from_the_address_that_the_client_used(size: int) -> None:
    bench = Bench(server=Address(1, 17, 4))
    asked = Address(1, 17, size)
    bench.primary = Bench(server=asked).primary
    bench.connect()
    bench.exchange(b"x")

    assert {frame.source for way, frame in bench.sent if way == "<"} == {asked}
    assert isinstance(bench.secondary, SecondaryStation)


@pytest.mark.parametrize(
    ("address", "reserved"),
    [
        (Address(1), False),
        (Address(2), True),
        (Address(15), True),
        (Address(16), False),
        (Address(1, 1, 2), True),
        (Address(1, 15, 4), True),
        (Address(1, 16, 4), False),
        (Address(1, 0, 2), False),
    ],
)
def test_addresses_that_the_standard_keeps(address: Address, *, reserved: bool) -> None:
    assert address.is_reserved == reserved
