# SPDX-License-Identifier: Apache-2.0
"""The secondary station: the server's end, for all clients on a line (IEC 62056-46, 6.4.4).

A secondary speaks when it is polled (P = 1) and gives the word back with F = 1.  While an answer is
being made it keeps the word for a moment, then says RR and sends the answer at a later poll.
Frames that are faulty or for somebody else change nothing and are not answered.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from enum import IntFlag
from typing import Final

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address, Station
from openami.dlms.hdlc.control import COMMANDS, Kind, control
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
from openami.dlms.hdlc.llc import FROM_SERVER, take_off
from openami.dlms.hdlc.parameters import DEFAULTS, GENEROUS, LinkParameters, read_user_data
from openami.dlms.hdlc.states import Mode, State
from openami.dlms.hdlc.transfer import Transfer

MOST_LINKS: Final = 128
"""As many as there are clients; further SNRM are refused."""


class Rejection(IntFlag):
    """Why a frame is rejected: bits w to z of FRMR (ISO/IEC 13239, 5.5.3.4.2)."""

    UNDEFINED_CONTROL = 0x01
    INFORMATION_NOT_PERMITTED = 0x02
    INFORMATION_TOO_LONG = 0x04
    INVALID_RECEIVE_NUMBER = 0x08


class SecondaryLink:
    """The link with one client."""

    def __init__(self, pair: Pair, line: Line, timings: LinkTimings) -> None:
        self.pair = pair
        self.active_s = 0.0
        self.held_until_s: float | None = None  # we have the word and wait for the answer
        self._line = line
        self._timings = timings
        self._mode = Mode()
        self._transfer = Transfer()
        self._has_word = False
        self._owed = 0  # messages that our user has not answered
        self._rejection = b""
        self.busy = False  # RNR is said instead of RR, and segments are not taken

    @property
    def state(self) -> State:
        return self._mode.state

    @property
    def parameters(self) -> LinkParameters:
        """What was settled."""
        return self._transfer.parameters

    def connect(self, frame: Frame, own: LinkParameters, now: float, events: list[Event]) -> None:
        """Answer SNRM: UA with what is settled, or DM where it cannot be read."""
        self.lost("the client starts anew", events)
        self._mode.received(Kind.SNRM)
        try:
            proposed = LinkParameters.decode(frame.information)
        except DecodeError:
            self._respond(Kind.DM, now)
            return
        settled = own.settled_with(proposed)
        self._transfer = Transfer(settled)
        self._respond(Kind.UA, now, replace(settled, user_data=own.user_data).encode())
        events.append(Connected(self.pair, settled, proposed.user_data))

    def disconnect(self, frame: Frame, now: float, events: list[Event]) -> None:
        """Answer DISC: UA where there was a link."""
        self._mode.received(Kind.DISC)
        self._respond(Kind.UA, now)
        said = read_user_data(frame.information)
        events.append(Disconnected(self.pair, "the client disconnected", said))

    def lost(self, reason: str, events: list[Event]) -> None:
        """Drop the link without a word."""
        if self._mode.state is not State.NDM:
            events.append(Disconnected(self.pair, reason))
        self._mode.lost()
        self._transfer = Transfer()
        self._has_word = False
        self._owed = 0
        self.held_until_s = None

    def answer(self, apdus: Sequence[bytes], now: float) -> None:
        """Send what answers a message, now or at the next poll; nothing where none is wanted."""
        for apdu in apdus:
            self._transfer.submit(FROM_SERVER + apdu)
        self._owed = max(0, self._owed - 1)
        if self._has_word and not self._owed:
            self.speak(now)

    def frame(self, frame: Frame, now: float, events: list[Event]) -> None:
        """Take a frame other than SNRM, DISC and UI."""
        what = frame.control
        self.active_s = now
        if self._mode.state is State.REJECTED:
            if what.poll_final:
                self._respond(Kind.FRMR, now, self._rejection)
            return
        if what.kind is Kind.UNKNOWN:
            self._reject(frame, Rejection.UNDEFINED_CONTROL, now)
        elif what.kind in COMMANDS and self._mode.received(what.kind):
            self._numbered(frame, now, events)

    def give_up(self, now: float) -> None:
        """Wait for the answer no longer: say RR; should it still come, a poll will fetch it."""
        self._owed = 0
        self.speak(now)

    def speak(self, now: float) -> None:
        """Send what may be sent, at least RR; the last frame gives the word back."""
        self._has_word = False
        self.held_until_s = None
        segments = self._transfer.next_segments()
        expected = self._transfer.receive_number
        for position, (number, information, segmented) in enumerate(segments, 1):
            last = position == len(segments)
            what = control(Kind.I, poll_final=last, receive_number=expected, send_number=number)
            self._put(Frame(*self.pair, what, information, segmented), now)
        if not segments:
            kind = Kind.RNR if self.busy else Kind.RR
            self._put(Frame(*self.pair, control(kind, receive_number=expected)), now)

    def _numbered(self, frame: Frame, now: float, events: list[Event]) -> None:
        what, transfer = frame.control, self._transfer
        if len(frame.information) > transfer.parameters.max_information_receive_octets:
            self._reject(frame, Rejection.INFORMATION_TOO_LONG, now)
            return
        if what.kind is not Kind.I and frame.information:
            self._reject(frame, Rejection.INFORMATION_NOT_PERMITTED, now)
            return
        transfer.peer_busy = what.kind is Kind.RNR
        if not transfer.acknowledge(what.receive_number, checkpoint=what.poll_final):
            self._reject(frame, Rejection.INVALID_RECEIVE_NUMBER, now)
            return
        if what.kind is Kind.I and not self.busy:
            self._information(frame, events)
        if not what.poll_final:
            return
        self._has_word = True
        if self._owed and what.kind is Kind.I:
            # What the client has lost of the last answer goes out together with this one.
            self.held_until_s = now + self._timings.answer_s
        else:
            # Whoever polls with RR while the answer is made wants to hear that we are alive.
            self.speak(now)

    def _information(self, frame: Frame, events: list[Event]) -> None:
        message = self._transfer.accept(
            frame.control.send_number, frame.information, segmented=frame.segmented
        )
        if message is None:
            return
        try:
            events.append(Message(self.pair, take_off(message)))
        except DecodeError as error:
            self._line.dropped += 1
            self._line.last_fault = error
        else:
            self._owed += 1

    def _reject(self, frame: Frame, why: Rejection, now: float) -> None:
        """Answer FRMR: the rejected control field, our numbers, the reason."""
        if not frame.control.poll_final:
            return  # it is not our turn; what follows of a wrong client will be rejected too
        transfer = self._transfer
        numbers = transfer.receive_number << 5 | transfer.send_number << 1
        self._rejection = bytes((frame.control.octet, numbers, why))
        self._respond(Kind.FRMR, now, self._rejection)

    def _respond(self, kind: Kind, now: float, information: bytes = b"") -> None:
        self._put(Frame(*self.pair, control(kind), information), now)

    def _put(self, frame: Frame, now: float) -> None:
        self._mode.sent(frame.control.kind)
        self.active_s = now
        self._line.put(frame, now)


class SecondaryStation:
    """One physical device on a line, with a link for each client."""

    def __init__(
        self,
        station: Station,
        capabilities: LinkParameters = GENEROUS,
        timings: LinkTimings = DEFAULT_TIMINGS,
    ) -> None:
        """Listen.

        Args:
            station: Our addresses.
            capabilities: The most that we can do.
            timings: How long to wait for what.
        """
        self.station = station
        self.calling = False  # we called, and whoever answers need not know our address
        self.line = Line(timings)
        self.links: dict[Pair, SecondaryLink] = {}
        self._capabilities = capabilities
        self._timings = timings
        self._unnumbered = UnnumberedAssembly()
        self._notifications: deque[list[Frame]] = deque()
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether we take nothing now: RNR is said, and clients wait until it is RR again."""
        return self._busy

    @busy.setter
    def busy(self, busy: bool) -> None:
        self._busy = busy
        for link in self.links.values():
            link.busy = busy

    @property
    def deadline(self) -> float | None:
        """When `tick` is to be called; None for never."""
        first = self.line.frame_deadline
        for link in self.links.values():
            first = earliest(first, link.held_until_s, self._inactive_s(link))
        return first

    def data_to_send(self) -> bytes:
        """Return what is to be put on the line now."""
        return self.line.data_to_send()

    def receive(self, octets: bytes, now: float) -> list[Event]:
        """Take what the line brought; return what it means."""
        events: list[Event] = []
        for frame in self.line.take(octets, now):
            self._frame(frame, now, events)
        return events

    def tick(self, now: float) -> list[Event]:
        """Do what is due."""
        events: list[Event] = []
        for frame in self.line.expire(now):
            self._frame(frame, now, events)
        for link in list(self.links.values()):
            if link.held_until_s is not None and now >= link.held_until_s:
                link.give_up(now)
            inactive_s = self._inactive_s(link)
            if inactive_s is not None and now >= inactive_s:
                link.lost(f"nothing was said for {self._timings.inactivity_s:g} s", events)
                del self.links[link.pair]
        return events

    def answer(self, pair: Pair, apdu: bytes | None, now: float, *following: bytes) -> None:
        """Answer a `Message`: each one exactly once, with None where the client wants no answer.

        An answer to a client whose link is gone is dropped.

        Args:
            pair: Whose message.
            apdu: The answer.
            now: The time.
            following: What goes out behind it without being asked for.
        """
        if (link := self.links.get(pair)) is not None and link.state is State.NRM:
            link.answer([] if apdu is None else [apdu, *following], now)

    def notify(
        self, logical: int, client: Address, apdu: bytes, now: float, *, when_polled: bool = False
    ) -> None:
        """Send an APDU that nobody asked for, in UI frames.

        Args:
            logical: Which of our logical devices sends it.
            client: For whom it is.
            apdu: A notification.
            now: The time.
            when_polled: Wait for a UI frame with P = 1, as a shared line demands; otherwise it
                goes out at once, which suits a customer port where nobody else speaks.

        Raises:
            ValueError: It must wait for its poll and does not fit into one frame: there, nothing is
                segmented (IEC 62056-7-6, 9.4).
        """
        source = Address.server(logical, self.station.physical, self.station.size)
        pair = Pair(client, source)
        link = self.links.get(pair)
        size = (link.parameters if link else DEFAULTS).max_information_transmit_octets
        frames = unnumbered_frames(client, source, FROM_SERVER + apdu, size, poll_final=True)
        if when_polled:
            if len(frames) > 1:
                room = size - len(FROM_SERVER)
                raise ValueError(
                    f"a notification of {len(apdu)} octets that waits for its poll does not fit "
                    f"into one UI frame of {room}: push less, or at once"
                )
            self._notifications.append(frames)
            return
        for frame in frames:
            self.line.put(frame, now)

    def lost(self, reason: str) -> list[Event]:
        """Drop all links: the line is gone."""
        events: list[Event] = []
        for link in self.links.values():
            link.lost(reason, events)
        self.links.clear()
        return events

    def _inactive_s(self, link: SecondaryLink) -> float | None:
        limit_s = self._timings.inactivity_s
        return None if limit_s is None else link.active_s + limit_s

    def _frame(self, frame: Frame, now: float, events: list[Event]) -> None:
        destination, source, what = frame.destination, frame.source, frame.control
        if source.size != 1 or not self.station.recognizes(destination, calling=self.calling):
            return
        if what.kind is Kind.UI:
            self._take_unnumbered(frame, now, events)
            return
        if destination.is_all:
            return  # it would be answered by several at once
        server = destination
        if destination.is_calling:
            # The answer tells our address, in as many octets as the client used if that fits.
            self.calling = False
            physical, size = self.station.physical, destination.size
            server = Address(destination.upper, physical, 4 if physical > 0x7D else size)
        self._command(Pair(source, server), frame, now, events)

    def _command(self, pair: Pair, frame: Frame, now: float, events: list[Event]) -> None:
        kind, link = frame.control.kind, self.links.get(pair)
        if kind is Kind.SNRM:
            if link is None:
                link = SecondaryLink(pair, self.line, self._timings)
                link.busy = self._busy
                if len(self.links) < MOST_LINKS:
                    self.links[pair] = link
                else:
                    self._refuse(pair, now)
                    return
            link.connect(frame, self._capabilities, now, events)
            if link.state is State.NDM:
                del self.links[pair]
        elif link is None:
            if kind in _ANSWERED_IN_NDM and frame.control.poll_final:
                self._refuse(pair, now)
        elif kind is Kind.DISC:
            link.disconnect(frame, now, events)
            del self.links[pair]
        else:
            link.frame(frame, now, events)

    def _refuse(self, pair: Pair, now: float) -> None:
        self.line.put(Frame(*pair, control(Kind.DM)), now)

    def _take_unnumbered(self, frame: Frame, now: float, events: list[Event]) -> None:
        polled = frame.control.poll_final
        if frame.destination.is_all and polled:
            return
        if (message := self._unnumbered.accept(frame)) is not None:
            events.append(message)
        if not polled:
            return
        link = self.links.get(Pair(frame.source, frame.destination))
        waiting = [each for each in self._notifications if each[0].destination == frame.source]
        if waiting:
            self._notifications.remove(waiting[0])
            for notification in waiting[0]:
                self.line.put(notification, now)
        elif link is not None and link.state is State.NRM:
            link.speak(now)


_ANSWERED_IN_NDM: Final = frozenset({Kind.DISC, Kind.I, Kind.RR, Kind.RNR, Kind.UNKNOWN})
