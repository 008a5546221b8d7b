# SPDX-License-Identifier: Apache-2.0
"""The primary station: the client's end of a data link (IEC 62056-46, 6.4.4).

The primary has the word first and gives it away with P = 1.  What gets no answer in time is never
said again if it was information: RR with P = 1 asks the secondary where it stands, and its N(R)
tells what was lost (6.4.4.9).  Only SNRM, DISC and RR are repeated.

A secondary that has no answer yet says RR; it is polled until it has one, for as long as whoever
uses the link cares to wait.
"""

from dataclasses import replace
from typing import Final

from openami.dlms.errors import DecodeError, LocalProtocolError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import RESPONSES, Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import (
    DEFAULT_TIMINGS,
    Connected,
    Disconnected,
    Event,
    Line,
    LinkTimings,
    Message,
    Pair,
    UnnumberedAssembly,
    earliest,
    unnumbered_frames,
)
from openami.dlms.hdlc.llc import FROM_CLIENT, FROM_CLIENT_TO_ALL, take_off
from openami.dlms.hdlc.parameters import GENEROUS, LinkParameters, user_data_field
from openami.dlms.hdlc.states import Mode, State
from openami.dlms.hdlc.transfer import Transfer

_NUMBERED: Final = frozenset({Kind.I, Kind.RR, Kind.RNR})
_ENDS: Final = {
    (State.CONNECTING, Kind.DM): "the meter refuses the link",
    (State.NRM, Kind.DM): "the meter has left the link",
    (State.REJECTED, Kind.DM): "the meter has left the link",
}


class PrimaryLink:
    """One link to one server, on a line that it has for itself while it is used.

    Attributes:
        frames: How many frames were sent.
        repeated: How many of these only because no answer came.
    """

    def __init__(
        self,
        client: Address,
        server: Address,
        proposal: LinkParameters = GENEROUS,
        timings: LinkTimings = DEFAULT_TIMINGS,
    ) -> None:
        """Prepare; nothing is sent before `connect`.

        Args:
            client: Our address, 1 octet.
            server: The peer's.
            proposal: The most that we can do.
            timings: How long to wait for what.
        """
        self.pair = Pair(client, server)
        self.line = Line(timings)
        self._proposal = proposal
        self._timings = timings
        self._mode = Mode()
        self._transfer = Transfer()
        self._unnumbered = UnnumberedAssembly()
        self.frames = self.repeated = 0
        self._has_word = True
        self._due_s: float | None = None  # the answer, or the next poll
        self._attempts = 0  # without an answer
        self._stalls = 0  # answers that brought us no further
        self._expected = 0  # answers to what was sent
        self._wants = False  # the peer is to be told at once how far we are
        self._user_data = b""  # that goes with SNRM or DISC

    @property
    def state(self) -> State:
        return self._mode.state

    @property
    def parameters(self) -> LinkParameters:
        """What was settled."""
        return self._transfer.parameters

    @property
    def has_word(self) -> bool:
        """Whether it is our turn to speak: the peer owes nothing on the line."""
        return self._has_word

    @property
    def deadline(self) -> float | None:
        """When `tick` is to be called; None for never."""
        inactive_s = self.line.inactivity_deadline if self._mode.state is State.NRM else None
        return earliest(self._due_s, self.line.frame_deadline, inactive_s)

    def data_to_send(self) -> bytes:
        """Return what is to be put on the line now."""
        return self.line.data_to_send()

    # What the user of the link asks for ---------------------------------------------------------

    def connect(self, now: float, user_data: bytes = b"") -> None:
        """Send SNRM, perhaps with user data; `Connected` or `Disconnected` follows."""
        self._begin()
        self._user_data = user_data
        self._command(Kind.SNRM, now)

    def send(self, apdu: bytes, now: float, *, answered: bool = True) -> None:
        """Send an APDU, now or when it is our turn; its answer comes as `Message`.

        Args:
            apdu: What to send.
            now: The time.
            answered: Without it nothing is awaited any more, and nobody polls for it.

        Raises:
            LocalProtocolError: There is no link.
        """
        if self._mode.state is not State.NRM:
            raise LocalProtocolError(Kind.I.value, self._mode.state.name)
        self._transfer.submit(FROM_CLIENT + apdu)
        self._expected = self._expected + 1 if answered else 0
        if self._has_word:
            self._speak(now)

    def expect(self, now: float) -> None:
        """Poll for another `Message`: what came last said that more follow."""
        self._expected = max(self._expected, 1)
        if self._mode.state is State.NRM and self._has_word:
            self._speak(now)

    def send_unnumbered(
        self, apdu: bytes, now: float, *, destination: Address | None = None
    ) -> None:
        """Send an APDU in UI frames with P = 0: nobody answers, no link is needed."""
        to = destination or self.pair.server
        size = self.parameters.max_information_transmit_octets
        information = (FROM_CLIENT_TO_ALL if to.is_all else FROM_CLIENT) + apdu
        for frame in unnumbered_frames(to, self.pair.client, information, size, poll_final=False):
            self.line.put(frame, now)

    def poll_events(self, now: float) -> None:
        """Ask for a notification by an empty UI with P = 1 (IEC 62056-7-6, 9.4); no link is needed.

        A notification comes as `Unnumbered`.  A server that has none says RR on a link, and nothing
        without one.

        Raises:
            LocalProtocolError: The peer has the word.
        """
        if not self._has_word:
            raise LocalProtocolError("UI P/F", "waiting for an answer")
        self._put(Frame(*self._way, control(Kind.UI)), now)

    def disconnect(self, now: float, user_data: bytes = b"") -> None:
        """Send DISC, perhaps with user data; `Disconnected` follows.

        Without a link there is nothing to say.
        """
        if self._mode.state is not State.NDM:
            self._begin()
            self._user_data = user_data
            self._command(Kind.DISC, now)

    # What happens ---------------------------------------------------------------------------------

    def receive(self, octets: bytes, now: float) -> list[Event]:
        """Take what the line brought; return what it means."""
        events: list[Event] = []
        for frame in self.line.take(octets, now):
            self._frame(frame, now, events)
        if not self._has_word and self._due_s is not None:
            # Whoever speaks is not silent: the answer may be long and the line slow.
            self._due_s = now + self._timings.response_s
        return events

    def tick(self, now: float) -> list[Event]:
        """Do what is due."""
        events: list[Event] = []
        for frame in self.line.expire(now):
            self._frame(frame, now, events)
        if self._due_s is not None and now >= self._due_s:
            self._late(now, events)
        inactive_s = self.line.inactivity_deadline
        if self._mode.state is State.NRM and inactive_s is not None and now >= inactive_s:
            self._down(f"nothing was said for {self._timings.inactivity_s:g} s", events)
        return events

    # Inside ---------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._transfer = Transfer()
        self._attempts = self._stalls = self._expected = 0
        self._wants = False

    def _command(self, kind: Kind, now: float) -> None:
        """Send SNRM or DISC, and wait for the answer."""
        if kind is Kind.DISC:
            information = user_data_field(self._user_data)
        else:
            proposal = replace(self._proposal, user_data=self._user_data)
            information = b"" if proposal.is_default else proposal.encode()
        self._put(Frame(*self._way, control(kind), information), now)

    @property
    def _way(self) -> tuple[Address, Address]:
        return self.pair.server, self.pair.client

    def _put(self, frame: Frame, now: float) -> None:
        self._mode.sent(frame.control.kind)
        self.frames += 1
        self.line.put(frame, now)
        if frame.control.poll_final:
            self._has_word = False
            self._due_s = now + self.line.sending_s + self._timings.response_s

    def _frame(self, frame: Frame, now: float, events: list[Event]) -> None:
        kind = frame.control.kind
        if kind is Kind.UI:
            if frame.destination == self.pair.client or frame.destination.is_all:
                message = self._unnumbered.accept(frame)
                events.extend([message] if message else [])
                self._word_after_unnumbered(frame, now, events)
            return
        if frame.destination != self.pair.client or not self._is_peer(frame.source):
            return
        before = self._mode.state
        if kind not in RESPONSES or not self._mode.received(kind):
            return  # an answer to what was given up meanwhile
        if kind in _NUMBERED:
            self._numbered(frame, now, events)
        elif kind is Kind.FRMR:
            self._rejected(frame, events)
        elif kind is Kind.UA and before is State.CONNECTING:
            self._connected(frame, now, events)
        else:
            self._down(_ENDS.get((before, kind), "disconnected"), events)

    def _word_after_unnumbered(self, frame: Frame, now: float, events: list[Event]) -> None:
        """Take the word back from a UI frame with F = 1, where ours asked for one."""
        asked = self._mode.state in {State.NDM, State.NRM} and not self._has_word
        if asked and frame.control.poll_final and self._is_peer(frame.source):
            self._has_word = True
            self._due_s = None
            self._attempts = 0
            if self._mode.state is State.NRM:
                self._go_on(now, events)

    def _is_peer(self, source: Address) -> bool:
        if self.pair.server.is_calling and source.upper == self.pair.server.upper:
            # The device that called tells its real address with its first answer.
            self.pair = Pair(self.pair.client, source)
        return source == self.pair.server

    def _connected(self, frame: Frame, now: float, events: list[Event]) -> None:
        try:
            offered = LinkParameters.decode(frame.information)
        except DecodeError as error:
            self._down(f"the meter's parameters cannot be read: {error}", events)
            return
        self._begin()
        self._transfer.parameters = self._proposal.settled_with(offered)
        self._has_word = True
        self._due_s = None
        self._listen_on(now)
        events.append(Connected(self.pair, self._transfer.parameters, offered.user_data))

    def _rejected(self, frame: Frame, events: list[Event]) -> None:
        self._due_s = None
        self._has_word = True
        said = f" [{frame.information.hex(' ')}]" if frame.information else ""
        events.append(Disconnected(self.pair, f"the meter rejected a frame{said}"))

    def _numbered(self, frame: Frame, now: float, events: list[Event]) -> None:
        what, transfer = frame.control, self._transfer
        final = what.poll_final
        transfer.peer_busy = what.kind is Kind.RNR
        before = transfer.progress
        if not transfer.acknowledge(what.receive_number, checkpoint=final):
            self._down(f"the meter acknowledged what was never sent ({what})", events)
            return
        if what.kind is Kind.I:
            self._information(frame, events)
        if transfer.progress != before:
            self._stalls = 0
        self._attempts = 0
        if final:
            self._has_word = True
            self._due_s = None
            self._go_on(now, events)

    def _information(self, frame: Frame, events: list[Event]) -> None:
        transfer = self._transfer
        in_turn = frame.control.send_number == transfer.receive_number
        message = transfer.accept(
            frame.control.send_number, frame.information, segmented=frame.segmented
        )
        self._wants = frame.segmented or not in_turn
        if message is None:
            return
        self._expected = max(0, self._expected - 1)
        try:
            events.append(Message(self.pair, take_off(message)))
        except DecodeError as error:
            self.line.dropped += 1
            self.line.last_fault = error

    def _go_on(self, now: float, events: list[Event]) -> None:
        """Speak, poll or wait, now that the word is ours again."""
        transfer = self._transfer
        if self._wants or (not transfer.is_idle and not transfer.peer_busy):
            self._stalls += 1
            if self._stalls > self._timings.retries + 1:
                self._down("the line loses too much: no frame came through any more", events)
                return
            self._speak(now)
        elif not transfer.is_idle or self._expected:
            self._due_s = now + self._timings.poll_s
        else:
            self._listen_on(now)

    def _listen_on(self, now: float) -> None:
        """Wait for our user; poll now and then if that was asked for."""
        if self._timings.keep_alive_s is not None:
            self._due_s = now + self._timings.keep_alive_s

    def _speak(self, now: float) -> None:
        """Send what may be sent, at least RR; the last frame gives the word away."""
        self._wants = False
        transfer = self._transfer
        segments = transfer.next_segments()
        expected = transfer.receive_number
        for position, (number, information, segmented) in enumerate(segments, 1):
            last = position == len(segments)
            what = control(Kind.I, poll_final=last, receive_number=expected, send_number=number)
            self._put(Frame(*self._way, what, information, segmented), now)
        if not segments:
            self._put(Frame(*self._way, control(Kind.RR, receive_number=expected)), now)

    def _late(self, now: float, events: list[Event]) -> None:
        """Say again what may be said again; or poll."""
        self._due_s = None
        if self._mode.state is State.NDM:
            self._has_word = True  # there was no event
            return
        if not self._has_word:
            self._attempts += 1
            if self._attempts > self._timings.retries:
                what = f"no answer after {self._attempts} attempts"
                self._down(what, events)
                return
            self.repeated += 1
        state = self._mode.state
        if state is State.CONNECTING:
            self._command(Kind.SNRM, now)
        elif state is State.DISCONNECTING:
            self._command(Kind.DISC, now)
        elif state is State.NRM:
            what_next = control(Kind.RR, receive_number=self._transfer.receive_number)
            self._put(Frame(*self._way, what_next), now)

    def _down(self, reason: str, events: list[Event]) -> None:
        self._mode.lost()
        self._begin()
        self._due_s = None
        self._has_word = True
        events.append(Disconnected(self.pair, reason))
