# SPDX-License-Identifier: Apache-2.0
"""A server faces wrong frames, a client wrong answers; after the abstract tests of HDLC."""

from collections.abc import Iterator

import pytest

from dlms.hdlc.lines import CLIENT, SERVER, Bench, command
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import CONTROLS, Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import Disconnected, Event, LinkTimings, Message, Unnumbered
from openami.dlms.hdlc.llc import FROM_CLIENT, FROM_SERVER
from openami.dlms.hdlc.parameters import DEFAULTS, LinkParameters
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.hdlc.states import State

SNRM = command(Kind.SNRM)
DISC = command(Kind.DISC)
RR = command(Kind.RR)


class Server:
    """A secondary station that is told octets and answers each message with itself."""

    def __init__(self, capabilities: LinkParameters = DEFAULTS) -> None:
        self.bench = Bench(capabilities=capabilities)

    def __call__(self, octets: bytes) -> list[str]:
        """Return what it answers."""
        station = self.bench.secondary
        self.bench.heard(station.receive(octets, 0.0))
        return [str(frame.control) for frame in self.frames()]

    def frames(self) -> Iterator[Frame]:
        for found in FrameReader().feed(self.bench.secondary.data_to_send()):
            assert isinstance(found, Frame)
            assert found.destination == CLIENT
            assert found.source == SERVER
            self.last = found
            yield found

    def expire(self) -> None:
        self.bench.heard(self.bench.secondary.tick(0.6))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def connected(server: Server) -> Server:
    assert server(SNRM) == ["UA P/F"]
    return server


def test_frames_in_their_order(server: Server) -> None:
    assert server(SNRM) == ["UA P/F"]
    assert server(RR) == ["RR N(R)=0 P/F"]
    assert server(DISC) == ["UA P/F"]
    assert server(DISC) == ["DM P/F"]


def test_a_cut_frame_then_a_pause(connected: Server) -> None:
    assert connected(DISC[:-4]) == []
    connected.expire()
    assert connected(RR) == ["RR N(R)=0 P/F"]


@pytest.mark.parametrize("octets", [SNRM[1:], SNRM[:-1], SNRM[1:-1]])
def test_no_answer_without_flags(server: Server, octets: bytes) -> None:
    assert server(octets) == []


def test_no_answer_without_an_opening_flag_after_a_frame(connected: Server) -> None:
    assert connected(RR[1:]) == []
    connected.expire()
    assert connected(RR) == ["RR N(R)=0 P/F"]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_no_answer_to_a_short_frame(server: Server, cut: int) -> None:
    assert server(SNRM[: -1 - cut] + SNRM[-1:]) == []
    server.expire()
    assert server(SNRM) == ["UA P/F"]


@pytest.mark.parametrize("octet", range(1, len(RR) - 1))
def test_no_answer_to_a_frame_with_a_wrong_octet(connected: Server, octet: int) -> None:
    wrong = bytearray(RR)
    wrong[octet] ^= 0x10
    assert connected(bytes(wrong)) == []
    connected.expire()
    assert connected(RR) == ["RR N(R)=0 P/F"]


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        (Address(1), CLIENT),
        (Address(2, 17, 2), CLIENT),
        (Address(1, 18, 2), CLIENT),
        (Address(1, 17, 4), CLIENT),
        (Address(0, 17, 2), CLIENT),
        (Address(1, 0x7F, 2), CLIENT),
        (Address(0x7F, 0x7F, 2), CLIENT),
        (Address(1, 0x7E, 2), CLIENT),
        (SERVER, Address(0)),
        (SERVER, Address(0x7F)),
        (SERVER, Address(16, 1, 2)),
    ],
)
def test_no_answer_to_other_addresses(
    server: Server, destination: Address, source: Address
) -> None:
    assert server(Frame(destination, source, control(Kind.SNRM)).encode()) == []
    assert server.bench.at_server == []


UNDEFINED = [each.octet for each in CONTROLS if each.kind is Kind.UNKNOWN and each.poll_final]


@pytest.mark.parametrize("octet", UNDEFINED)
def test_an_unknown_control_field_is_rejected_and_the_link_begins_anew(
    connected: Server, octet: int
) -> None:
    unknown = Frame(SERVER, CLIENT, CONTROLS[octet])

    assert connected(unknown.encode()) == ["FRMR P/F"]
    assert connected.last.information.hex() == f"{octet:02x}0001"
    assert connected(RR) == ["FRMR P/F"]
    assert connected(SNRM) == ["UA P/F"]
    assert connected(RR) == ["RR N(R)=0 P/F"]


def test_what_acknowledges_too_much_is_rejected(connected: Server) -> None:
    assert connected(command(Kind.RR, receive_number=1)) == ["FRMR P/F"]
    assert connected.last.information.hex() == "310008"
    assert connected(DISC) == ["UA P/F"]


def test_too_long_information_is_rejected(connected: Server) -> None:
    assert connected(command(Kind.I, FROM_CLIENT + bytes(126))) == ["FRMR P/F"]
    assert connected.last.information[2] == 0x04


def test_information_in_rr_is_rejected(connected: Server) -> None:
    assert connected(command(Kind.RR, b"what")) == ["FRMR P/F"]
    assert connected.last.information[2] == 0x02


def test_a_frame_out_of_turn_is_asked_for(connected: Server) -> None:
    assert connected(command(Kind.I, FROM_CLIENT + b"x", send_number=1)) == ["RR N(R)=0 P/F"]
    assert connected.bench.requests == []


def test_a_request_that_is_repeated_is_answered_again_but_done_once(connected: Server) -> None:
    request = command(Kind.I, FROM_CLIENT + b"x")

    assert connected(request) == ["I N(S)=0 N(R)=1 P/F"]
    assert connected(request) == ["I N(S)=0 N(R)=1 P/F"]
    assert connected.bench.requests == [b"x"]


def test_rnr_holds_the_answer_back(connected: Server) -> None:
    connected.bench.answer = lambda _apdu: bytes(200)
    assert connected(command(Kind.I, FROM_CLIENT + b"x")) == ["I N(S)=0 N(R)=1 P/F"]

    assert connected(command(Kind.RNR, receive_number=1)) == ["RR N(R)=1 P/F"]
    assert connected(command(Kind.RR, receive_number=1)) == ["I N(S)=1 N(R)=1 P/F"]


def test_without_an_llc_header_there_is_no_request(connected: Server) -> None:
    assert connected(command(Kind.I, b"\xc0\x01\xc1")) == ["RR N(R)=1 P/F"]
    assert connected.bench.requests == []
    assert "no LLC header" in str(connected.bench.secondary.line.last_fault)


@pytest.mark.parametrize("kind", [Kind.I, Kind.RR, Kind.RNR])
def test_in_disconnected_mode(server: Server, kind: Kind) -> None:
    assert server(command(kind)) == ["DM P/F"]
    assert server(command(kind, poll=False)) == []


@pytest.mark.parametrize("kind", [Kind.UA, Kind.DM, Kind.FRMR])
def test_what_only_a_server_says_changes_nothing(connected: Server, kind: Kind) -> None:
    assert connected(command(kind)) == []
    assert connected(RR) == ["RR N(R)=0 P/F"]


@pytest.mark.parametrize("information", ["80", "818003090101", "818003050201"])
def test_a_proposal_that_makes_no_sense_is_refused(server: Server, information: str) -> None:
    assert server(command(Kind.SNRM, bytes.fromhex(information))) == ["DM P/F"]
    assert server.bench.secondary.links == {}


def test_events_wait_for_their_poll(connected: Server) -> None:
    station = connected.bench.secondary
    station.notify(1, CLIENT, b"\xc2event", 0.0, when_polled=True)
    assert connected(RR) == ["RR N(R)=0 P/F"]

    assert connected(command(Kind.UI)) == ["UI P/F"]
    assert connected.last.information == FROM_SERVER + b"\xc2event"
    assert connected(command(Kind.UI)) == ["RR N(R)=0 P/F"]


def test_unnumbered_information_without_llc_header_is_taken(server: Server) -> None:
    everyone = Address(0x7F, 0x7F, 2)
    broadcast = Frame(everyone, CLIENT, control(Kind.UI, poll_final=False), b"\xc1x")
    polled = broadcast._replace(control=control(Kind.UI))

    assert server(polled.encode()) == []
    assert server(broadcast.encode()) == []
    assert server.bench.at_server == [Unnumbered(CLIENT, everyone, b"\xc1x")]


def test_nonsense_without_end_is_not_kept(connected: Server) -> None:
    for number in range(700):
        what = control(Kind.I, send_number=number % 8)
        connected(Frame(SERVER, CLIENT, what, bytes(128), segmented=True).encode())
    assert connected(command(Kind.I, b"end", send_number=700 % 8)) == ["RR N(R)=5 P/F"]
    assert connected.bench.requests == []


class Client:
    """A primary station whose server is told what to answer."""

    def __init__(self, timings: LinkTimings | None = None) -> None:
        self.link = Bench(timings=timings or LinkTimings()).primary
        self.link.connect(0.0)
        self.link.data_to_send()

    def hear(
        self, kind: Kind, information: bytes = b"", *, final: bool = True, **numbers: int
    ) -> list[Event]:
        what = control(kind, poll_final=final, **numbers)
        return self.link.receive(Frame(CLIENT, SERVER, what, information).encode(), 0.0)

    def said(self) -> list[str]:
        found = FrameReader().feed(self.link.data_to_send())
        return [str(frame.control) for frame in found if isinstance(frame, Frame)]


def only(events: list[Event]) -> str:
    (event,) = events
    assert isinstance(event, Disconnected)
    return event.reason


def test_a_meter_that_does_not_answer() -> None:
    client = Client(LinkTimings(response_s=2.0, retries=2))

    assert client.link.tick(2.0) == []
    assert client.said() == ["SNRM P/F"]
    assert client.link.tick(4.0) == []
    assert client.said() == ["SNRM P/F"]
    assert only(client.link.tick(6.0)) == "no answer after 3 attempts"
    assert client.link.deadline is None
    client.link.connect(7.0)
    assert client.said() == ["SNRM P/F"]


def test_information_is_never_repeated_before_rr_has_asked() -> None:
    client = Client(LinkTimings(response_s=2.0))
    client.hear(Kind.UA)
    client.link.send(b"once", 0.0)
    assert client.said() == ["I N(S)=0 N(R)=0 P/F"]

    client.link.tick(2.0)
    assert client.said() == ["RR N(R)=0 P/F"]
    client.hear(Kind.RR, receive_number=0)
    assert client.said() == ["I N(S)=0 N(R)=0 P/F"]
    client.link.tick(4.0)
    assert client.said() == ["RR N(R)=0 P/F"]
    client.hear(Kind.RR, receive_number=1)
    assert client.said() == []


def test_a_meter_that_refuses() -> None:
    assert only(Client().hear(Kind.DM)) == "the meter refuses the link"


def test_a_meter_that_has_started_anew() -> None:
    client = Client()
    client.hear(Kind.UA)
    client.link.send(b"x", 0.0)

    assert only(client.hear(Kind.DM)) == "the meter has left the link"
    assert client.link.state is State.NDM


def test_a_meter_that_rejects() -> None:
    client = Client()
    client.hear(Kind.UA)
    client.link.send(b"x", 0.0)

    assert only(client.hear(Kind.FRMR, b"\x10\x00\x08")) == "the meter rejected a frame [10 00 08]"
    assert client.link.state is State.REJECTED
    client.said()
    client.link.connect(1.0)
    assert client.said() == ["SNRM P/F"]


def test_parameters_that_make_no_sense() -> None:
    assert "parameters cannot be read" in only(Client().hear(Kind.UA, b"\x80"))


def test_an_acknowledgement_of_what_was_never_sent() -> None:
    client = Client()
    client.hear(Kind.UA)

    reason = only(client.hear(Kind.RR, receive_number=3))
    assert reason == "the meter acknowledged what was never sent (RR N(R)=3 P/F)"


def test_a_busy_meter_is_polled() -> None:
    client = Client(LinkTimings(poll_s=0.5))
    client.hear(Kind.UA)
    client.link.send(b"x", 0.0)
    client.said()

    client.hear(Kind.RNR, receive_number=0)
    assert client.said() == []
    client.link.tick(0.5)
    assert client.said() == ["RR N(R)=0 P/F"]
    client.hear(Kind.RR, receive_number=0)
    assert client.said() == ["I N(S)=0 N(R)=0 P/F"]


def test_a_lost_frame_of_an_answer_is_asked_for_again() -> None:
    client = Client()
    client.hear(Kind.UA)
    client.link.send(b"x", 0.0)
    client.said()

    client.hear(Kind.I, FROM_SERVER + b"b", receive_number=1, send_number=1)
    assert client.said() == ["RR N(R)=0 P/F"]
    events = client.hear(Kind.I, FROM_SERVER + b"a", receive_number=1)
    assert events == [Message(client.link.pair, b"a")]


def test_frames_of_others_change_nothing() -> None:
    client = Client()
    other = Frame(CLIENT, Address(2), control(Kind.DM)).encode()
    elsewhere = Frame(Address(2), SERVER, control(Kind.DM)).encode()

    assert client.link.receive(other + elsewhere, 0.0) == []
    assert client.hear(Kind.RR) == [], "no answer to SNRM"
    assert client.hear(Kind.SNRM) == []
    assert client.link.state is State.CONNECTING


def test_a_slow_line_is_not_a_silent_one() -> None:
    client = Client(LinkTimings(response_s=2.0))
    ua = Frame(CLIENT, SERVER, control(Kind.UA)).encode()

    client.link.receive(ua[:4], 1.9)
    assert client.link.tick(2.1) == []
    client.link.receive(ua[4:], 2.3)
    assert client.link.state is State.NRM


def test_what_the_client_lost_goes_out_with_the_next_answer() -> None:
    server = Server(LinkParameters.symmetric(128, 2))
    proposal = LinkParameters.symmetric(128, 2).encode()
    assert server(command(Kind.SNRM, proposal)) == ["UA P/F"]
    assert server(command(Kind.I, FROM_CLIENT + b"a")) == ["I N(S)=0 N(R)=1 P/F"]

    said = server(command(Kind.I, FROM_CLIENT + b"b", send_number=1))

    assert said == ["I N(S)=0 N(R)=2", "I N(S)=1 N(R)=2 P/F"]


def test_an_answer_that_never_came_does_not_hold_up_the_next() -> None:
    server = Server()
    server(SNRM)
    server.bench.heard = server.bench.at_server.extend  # type: ignore[method-assign,assignment]
    assert server(command(Kind.I, FROM_CLIENT + b"a")) == []
    server.bench.secondary.tick(1.0)
    assert [str(frame.control) for frame in server.frames()] == ["RR N(R)=1 P/F"]
    del server.bench.heard

    answered = server(command(Kind.I, FROM_CLIENT + b"b", send_number=1))

    assert answered == ["I N(S)=0 N(R)=2 P/F"]
