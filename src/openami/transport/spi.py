# SPDX-License-Identifier: Apache-2.0
"""A serial peripheral interface between two processes: fixed slots, full-duplex, with data-ready.

The master clocks: in each transfer a slot of fixed size goes either way at once.  What the slave
sends was laid ready before it saw the master's slot.  The slave cannot begin a transfer: it raises
its data-ready line, and the master clocks until the line is low again.  Slots carry a stream of
octets, filled with zeros where it has no more, which a framing that ends in zeros passes over.

The wires are one pair of `SOCK_SEQPACKET` sockets, of which somebody else keeps both ends open, as
a backplane does.  A packet of a slot's size is a slot; one of a single octet is the level of the
data-ready line.  A slave that is not there answers nothing: what was clocked to it is lost, as on
wires.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

TRANSFER_S: Final = 0.05  # a slave that has not answered by then is not there
MOST_WAITING_OCTETS: Final = 16 * 1024  # there is no flow control: beyond, octets are lost
SLOTS: Final = (64, 256)
"""Sizes of slots that there are, in octets."""
LOW, HIGH = b"\x00", b"\x01"

Receive = Callable[[bytes], None]


@contextmanager
def wires() -> Iterator[tuple[int, int]]:
    """Lend wires: descriptors of the master's and the slave's end, both kept open."""
    master, slave = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with master, slave:
        yield master.fileno(), slave.fileno()


class _End:
    """What both ends have: a socket, a queue of octets, and a slot of them at a time."""

    def __init__(self, descriptor: int, slot_octets: int, receive: Receive) -> None:
        """Take a descriptor; nothing is read before `open`.

        Args:
            descriptor: This end of the wires; it is duplicated.
            slot_octets: Size of a slot, one of `SLOTS`, the same at both ends.
            receive: Called with what comes in a slot.
        """
        if slot_octets not in SLOTS:
            raise ValueError(f"a slot of {slot_octets} octets: use one of {SLOTS}")
        self.slot_octets = slot_octets
        self.lost_octets = 0
        self.transfers = 0
        self._receive = receive
        self._descriptor = descriptor
        self._socket: socket.socket | None = None
        self._queue = bytearray()
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Begin to listen; what came while nobody did is gone."""
        self._socket = socket.socket(fileno=socket.dup(self._descriptor))
        self._socket.settimeout(0)
        while self._read() is not None:
            pass
        self._loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Let the wires go."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _enqueue(self, octets: bytes) -> None:
        if self._socket is None or len(self._queue) + len(octets) > MOST_WAITING_OCTETS:
            self.lost_octets += len(octets)
        else:
            self._queue += octets

    def _next_slot(self) -> bytes:
        slot = bytes(self._queue[: self.slot_octets])
        del self._queue[: self.slot_octets]
        return slot.ljust(self.slot_octets, b"\x00")

    def _put(self, packet: bytes) -> bool:
        """Send a packet; tell whether there was room for it."""
        try:
            return self._socket is not None and self._socket.send(packet) == len(packet)
        except OSError:
            return False

    def _read(self) -> bytes | None:
        """Return the next packet; None if there is none, or the wires were cut."""
        try:
            packet = b"" if self._socket is None else self._socket.recv(self.slot_octets + 1)
        except BlockingIOError:
            return None
        except OSError:
            packet = b""
        if not packet:
            self.close()
            return None
        return packet

    def _readable(self) -> None:
        while (packet := self._read()) is not None:
            self._take(packet)

    def _take(self, packet: bytes) -> None:
        raise NotImplementedError

    def _hand_over(self, slot: bytes) -> None:
        if any(slot):
            self._receive(slot)


class SpiMaster(_End):
    """The end that clocks.

    Attributes:
        lost_octets: How many octets found no room, or no slave.
        transfers: How many slots were exchanged.
    """

    def __init__(self, descriptor: int, slot_octets: int, receive: Receive) -> None:
        super().__init__(descriptor, slot_octets, receive)
        self._ready = False  # level of the data-ready line
        self._under_way: asyncio.TimerHandle | None = None

    def send(self, octets: bytes) -> None:
        """Send octets in the next slots; those that find no room or no slave are lost."""
        self._enqueue(octets)
        self._clock()

    def close(self) -> None:
        self._over()
        super().close()

    def _clock(self) -> None:
        """Begin a transfer if there is a reason, and none under way."""
        if self._under_way is None and self._socket is not None and (self._queue or self._ready):
            self._under_way = self._loop.call_later(TRANSFER_S, self._nobody)
            self._put(self._next_slot())

    def _over(self) -> None:
        if self._under_way is not None:
            self._under_way.cancel()
            self._under_way = None

    def _nobody(self) -> None:
        self._under_way, self._ready = None, False
        self.lost_octets += self.slot_octets
        self._clock()

    def _take(self, packet: bytes) -> None:
        if len(packet) == self.slot_octets:
            self.transfers += 1
            self._over()
            self._hand_over(packet)
        else:
            self._ready = packet == HIGH
        self._clock()


class SpiSlave(_End):
    """The end that is clocked.

    Attributes:
        lost_octets: How many octets found no room.
        transfers: How many slots were exchanged.
    """

    def send(self, octets: bytes) -> None:
        """Lay octets ready and raise the line; a master that is not there sees it next time."""
        self._enqueue(octets)
        if self._queue:
            self._put(HIGH)

    def _take(self, packet: bytes) -> None:
        if len(packet) != self.slot_octets:
            return
        self.transfers += 1
        slot = self._next_slot()
        if not self._queue:
            self._put(LOW)
        self._put(slot)
        self._hand_over(packet)
