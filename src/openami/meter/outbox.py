# SPDX-License-Identifier: Apache-2.0
"""What the meter still has to push, and when it pushes again.  No I/O, told monotonic time.

Rows of the load profile go out in order, at most 48 in one push, one push under way at a time.  A
push is sealed once; until its hop receipt comes the same octets are sent again, after pauses that
double, and at once on a new connection.  The receipt says that the rows are durable at the next
hop; nothing is deleted here, the ring keeps its rows for profile reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openami.cosem.classes.push import PushMessage
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.obis import Obis
from openami.meter.records import LoadProfile

PUSH_SETUP: Final = Obis(0, 0, 25, 9, 0, 255)
MOST_ROWS: Final = 48


@dataclass(frozen=True, slots=True)
class Sealed:
    """A push as it travels."""

    invoke_id: int  # the four octets of long-invoke-id-and-priority
    octets: bytes
    last: int  # sequence of its newest row


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """For whom a meter pushes, in whose name, and who seals.

    Attributes:
        recipient: System title of the head-end.
        ldn: Logical device name.
        notify: Seals a notification for a recipient; returns it, and its long-invoke-id.
    """

    recipient: bytes
    ldn: bytes
    notify: Callable[[bytes, bytes], tuple[bytes, int]]

    def seal(self, rows: bytes, last: int) -> Sealed:
        """Return rows, an encoded array, as a sealed push."""
        message = PushMessage(
            long_invoke_id_and_priority=LongInvokeIdAndPriority.of(0, confirmed=True),
            logical_device_name=self.ldn,
            push_setup=PUSH_SETUP,
            rows=rows,
        )
        octets, invoke_id = self.notify(self.recipient, message.encode())
        return Sealed(invoke_id, octets, last)


class Outbox:
    """The pushes of one meter.

    Attributes:
        receipted: Sequence of the newest row that a receipt covers.
        receipts: How many hop receipts came since the start.
    """

    def __init__(
        self,
        profile: LoadProfile,
        sender: Sender,
        *,
        receipted: int,
        pauses_s: tuple[float, float],
    ) -> None:
        """Take up where `receipted` says.

        Args:
            profile: The rows.
            sender: Seals.
            receipted: As remembered.  The ring may be behind it until the journal has filled it.
            pauses_s: First and longest pause before a push is sent again.
        """
        self.receipts = 0
        self._profile = profile
        self._sender = sender
        self.receipted = receipted
        self._first_s, self._most_s = pauses_s
        self._pause_s = self._first_s
        self._under_way: Sealed | None = None
        self._again_s = 0.0
        self._send: Callable[[bytes], None] | None = None

    @property
    def pending(self) -> int:
        """How many rows wait for a receipt."""
        ring = self._profile.ring
        return max(0, ring.last - max(self.receipted, ring.first - 1))

    @property
    def is_attached(self) -> bool:
        """Whether there is a connection to send over."""
        return self._send is not None

    @property
    def deadline_s(self) -> float | None:
        """When `tick` has something to do; None while there is nothing, or no connection."""
        if self._send is None or self.pending == 0:
            return None
        return self._again_s

    def attached(self, send: Callable[[bytes], None], now_s: float) -> None:
        """Send over a new connection, at once what was under way."""
        self._send = send
        self._again_s = now_s
        self._pause_s = self._first_s

    def detached(self) -> None:
        """Wait for another connection."""
        self._send = None

    def tick(self, now_s: float) -> None:
        """Send what is due."""
        if self._send is None or self.pending == 0:
            return
        if self._under_way is None:
            self._under_way = self._seal_next()
        elif now_s < self._again_s:
            return
        self._again_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._most_s)
        self._send(self._under_way.octets)

    def hurry(self) -> None:
        """Send again at the next tick."""
        self._again_s = 0.0

    def confirm(self, invoke_id: int, now_s: float) -> bool:
        """Take a hop receipt; return whether it was for what is under way."""
        pushed = self._under_way
        if pushed is None or pushed.invoke_id != invoke_id:
            return False  # of an earlier sending of the same, or of an earlier life
        self.receipted = pushed.last
        self.receipts += 1
        self._under_way = None
        self._pause_s = self._first_s
        self._again_s = now_s
        return True

    def _seal_next(self) -> Sealed:
        ring = self._profile.ring
        first = max(self.receipted + 1, ring.first)
        last = min(first + MOST_ROWS - 1, ring.last)
        rows = self._profile.since(first, MOST_ROWS)
        return self._sender.seal(rows.as_array(), last)
