# SPDX-License-Identifier: Apache-2.0
"""A serial line: octets in and out of a file descriptor, raw, for ever.

A UART has no connection: a peer may vanish and return, and octets sent meanwhile are lost, which
is what the framing above it is for.  `SerialLine` opens a device (or the slave side of a
pseudo-terminal) and opens it again when it goes away; `PtyLine` makes a pseudo-terminal, is the
master of it, and leaves a symbolic link where the other side finds it.
"""

import asyncio
import contextlib
import errno
import logging
import os
import termios
import tty
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from openami.runtime.errors import UserError

log = logging.getLogger(__name__)

READ_OCTETS: Final = 4096
MOST_WAITING_OCTETS: Final = 64 * 1024  # a UART has no flow control: beyond, octets are lost
REOPEN_S: Final = 0.1
SPEEDS: Final = {
    rate: getattr(termios, f"B{rate}")
    for rate in (300, 600, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800)
    if hasattr(termios, f"B{rate}")
}

Receive = Callable[[bytes], None]


def make_raw(descriptor: int, speed: int | None = None, *, even_parity: bool = False) -> None:
    """Set a line to 8 data bits, no parity or even, nothing interpreted; `speed` in baud."""
    tty.setraw(descriptor, termios.TCSANOW)
    if even_parity and not os.ttyname(descriptor).startswith("/dev/pts/"):  # those have none
        settings = termios.tcgetattr(descriptor)
        settings[2] = settings[2] & ~termios.PARODD | termios.PARENB
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)
    if speed is not None:
        settings = termios.tcgetattr(descriptor)
        settings[4] = settings[5] = SPEEDS[speed]
        termios.tcsetattr(descriptor, termios.TCSANOW, settings)


def _checked_speed(path: Path, speed: int) -> int:
    if speed not in SPEEDS:
        known = ", ".join(str(rate) for rate in SPEEDS)
        raise UserError(f"{path} has no speed of {speed} baud: choose one of {known}")
    return speed


class SerialLine:
    """A device that is opened, and opened again whenever it goes away.

    Attributes:
        lost_octets: How many octets could not be sent; a UART loses them too.
    """

    def __init__(
        self, path: Path, receive: Receive, speed: int | None = None, *, even_parity: bool = False
    ) -> None:
        """Prepare; nothing is opened before `open`.

        Args:
            path: The device, or a symbolic link to it.
            receive: Called with octets as they arrive.
            speed: In baud; None leaves what is set.
            even_parity: As wired M-Bus has it; otherwise there is none.
        """
        if speed is not None:
            _checked_speed(path, speed)
        self.path = path
        self.lost_octets = 0
        self._receive = receive
        self._speed = speed
        self._even_parity = even_parity
        self._descriptor: int | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_octets = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()

    @property
    def is_open(self) -> bool:
        return self._descriptor is not None

    @property
    def is_drained(self) -> bool:
        """Whether all that was sent has found room on the line."""
        return not self._waiting

    def open(self) -> None:
        """Open the device now, or as soon as it is there."""
        if self._closed or self._descriptor is not None:
            return
        try:
            descriptor = self._acquire()
        except OSError as error:
            log.debug("%s is not there yet (%s)", self.path, error.strerror)
            self._timer = self._loop.call_later(REOPEN_S, self.open)
            return
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable, descriptor)
        log.debug("%s is open", self.path)

    def send(self, octets: bytes) -> None:
        """Send octets; those that find no line or no room are lost, and counted."""
        if self._descriptor is None or self._waiting_octets + len(octets) > MOST_WAITING_OCTETS:
            self.lost_octets += len(octets)
            return
        if not self._waiting:
            octets = octets[self._write(octets) :]
            if not octets or self._descriptor is None:
                return
            self._loop.add_writer(self._descriptor, self._writable)
        self._waiting.append(octets)
        self._waiting_octets += len(octets)

    def set_speed(self, speed: int) -> None:
        """Change the speed, in baud; what was sent before goes out at the old one.

        Raises:
            UserError: The line has no such speed.
        """
        self._speed = _checked_speed(self.path, speed)
        if self._descriptor is not None:
            settings = termios.tcgetattr(self._descriptor)
            settings[4] = settings[5] = SPEEDS[speed]
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, settings)

    def close(self) -> None:
        """Close the line for good."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._release()

    def _acquire(self) -> int:
        """Return a descriptor of the open device."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            make_raw(descriptor, self._speed, even_parity=self._even_parity)
        except termios.error as error:
            os.close(descriptor)
            raise OSError(errno.ENOTTY, f"not a serial line: {error}") from error
        return descriptor

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            self._loop.remove_reader(descriptor)
            self._loop.remove_writer(descriptor)
            self._relinquish(descriptor)
        self._waiting.clear()
        self._waiting_octets = 0

    def _relinquish(self, descriptor: int) -> None:
        """Give a descriptor back to the system."""
        os.close(descriptor)

    def _gone(self, why: str) -> None:
        """The other side is gone: wait for it."""
        log.debug("%s went away (%s)", self.path, why)
        self._release()
        if not self._closed:
            self._timer = self._loop.call_later(REOPEN_S, self.open)

    def _readable(self, descriptor: int) -> None:
        try:
            octets = os.read(descriptor, READ_OCTETS)
        except BlockingIOError:
            return
        except OSError as error:
            self._gone(error.strerror or str(error))
            return
        if octets:
            self._receive(octets)
        else:
            self._gone("end of file")

    def _write(self, octets: bytes) -> int:
        """Write what fits; return how much did."""
        if self._descriptor is None:
            return len(octets)
        try:
            return os.write(self._descriptor, octets)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.lost_octets += len(octets)
            self._gone(error.strerror or str(error))
            return len(octets)

    def _writable(self) -> None:
        while self._waiting:
            octets = self._waiting[0]
            written = self._write(octets)
            if self._descriptor is None:
                return
            self._waiting_octets -= written
            if written < len(octets):
                self._waiting[0] = octets[written:]
                return
            self._waiting.popleft()
        self._loop.remove_writer(self._descriptor)  # type: ignore[arg-type]  # open: it wrote


class PtyLine(SerialLine):
    """The master side of a pseudo-terminal; `path` becomes a link to the slave side.

    The master keeps the slave side open itself: otherwise each departure of the peer would end the
    line with an input error.
    """

    def _acquire(self) -> int:
        if self.path.exists() and not self.path.is_symlink():
            raise UserError(f"{self.path} is there and no link of ours: choose another path")
        master, slave = os.openpty()
        make_raw(slave, self._speed)
        self._slave = slave
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            fresh.symlink_to(os.ttyname(slave))
            fresh.replace(self.path)
        except OSError:
            self._relinquish(master)
            raise
        return master

    def _relinquish(self, descriptor: int) -> None:
        os.close(descriptor)
        os.close(self._slave)
