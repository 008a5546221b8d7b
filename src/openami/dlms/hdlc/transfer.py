# SPDX-License-Identifier: Apache-2.0
"""Numbered information on one link: segments, window, acknowledgement (IEC 62056-46, 6.4.4.5).

Both stations hold a `Transfer`.  It cuts information into segments and numbers them, at most a
window ahead of what the peer has acknowledged, and puts together what the peer sends.  Numbers
are modulo 8.  A segment out of turn is dropped; the acknowledgement that the peer gets tells it
where to go on.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from openami.dlms.hdlc.control import MODULUS
from openami.dlms.hdlc.parameters import DEFAULTS, LinkParameters

LONGEST_MESSAGE_OCTETS: Final = 0x10000 + 16
"""Of information put together: no APDU is longer than 64 KiB, gateway header included."""


@dataclass(slots=True)
class Transfer:
    """The numbers and segments of one link.

    Attributes:
        parameters: What was settled, seen from this side.
        send_number: V(S), the number of the next segment sent.
        receive_number: V(R), the number expected next.
        peer_busy: The peer has said RNR: it takes no segments now.
    """

    parameters: LinkParameters = DEFAULTS
    send_number: int = 0
    receive_number: int = 0
    peer_busy: bool = False
    _segments: deque[tuple[bytes, bool]] = field(default_factory=deque, repr=False)
    """Segments with their bit S: first those sent and not acknowledged, then those to send."""
    _unacknowledged: int = 0
    """How many of them are sent."""
    _highest: int = 0
    """How many of them were ever sent: after a loss they are sent again from the first."""
    _received: bytearray = field(default_factory=bytearray, repr=False)

    @property
    def is_idle(self) -> bool:
        """Whether all that was submitted is acknowledged."""
        return not self._segments

    @property
    def has_more(self) -> bool:
        """Whether segments wait that may be sent now."""
        return bool(self._sendable())

    @property
    def is_receiving(self) -> bool:
        """Whether segments of a message came and more must follow."""
        return bool(self._received)

    @property
    def progress(self) -> tuple[int, int]:
        """What changes with each segment that came through, either way."""
        return self.receive_number, len(self._segments)

    def submit(self, information: bytes) -> None:
        """Cut a message into segments."""
        size = self.parameters.max_information_transmit_octets
        last = (len(information) - 1) // size * size
        for start in range(0, len(information), size):
            self._segments.append((information[start : start + size], start != last))

    def next_segments(self) -> list[tuple[int, bytes, bool]]:
        """Return what may be sent now: N(S), information, bit S of each; at most a window."""
        window = []
        for offset in range(self._sendable()):
            information, segmented = self._segments[self._unacknowledged + offset]
            window.append((self.send_number, information, segmented))
            self.send_number = (self.send_number + 1) % MODULUS
        self._unacknowledged += len(window)
        self._highest = max(self._highest, self._unacknowledged)
        return window

    def _sendable(self) -> int:
        if self.peer_busy:
            return 0
        room = self.parameters.window_transmit - self._unacknowledged
        return max(0, min(room, len(self._segments) - self._unacknowledged))

    def acknowledge(self, receive_number: int, *, checkpoint: bool) -> bool:
        """Take N(R) of a frame; return False if it acknowledges what was never sent.

        Args:
            receive_number: What the peer expects next.
            checkpoint: The frame carried P or F: what it does not acknowledge is lost and is
                sent again.
        """
        first = (self.send_number - self._unacknowledged) % MODULUS
        count = (receive_number - first) % MODULUS
        if count > self._highest:
            return False
        for _ in range(count):
            self._segments.popleft()
        self._highest -= count
        self._unacknowledged = max(0, self._unacknowledged - count)
        self.send_number = (receive_number + self._unacknowledged) % MODULUS
        if checkpoint:
            self.send_number = receive_number
            self._unacknowledged = 0
        return True

    def accept(self, send_number: int, information: bytes, *, segmented: bool) -> bytes | None:
        """Take one segment; return the message that it completes.

        A segment out of turn changes nothing.
        """
        if send_number != self.receive_number:
            return None
        self.receive_number = (self.receive_number + 1) % MODULUS
        if not segmented and not self._received:
            return information
        self._received += information
        if len(self._received) > LONGEST_MESSAGE_OCTETS:
            # It can only be nonsense; what follows of it ends as a message without LLC header.
            self._received = bytearray(b"\x00")
        if segmented:
            return None
        message = bytes(self._received)
        self._received.clear()
        return message
