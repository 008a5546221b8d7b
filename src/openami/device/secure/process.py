# SPDX-License-Identifier: Apache-2.0
"""The secure world as a process: sockets, and who stands behind each.

    HOME DOOR RECORD CALLERS

HOME is the folder with flash and one-time-programmable memory, DOOR the descriptor of a listening
socket of kind SEQPACKET, RECORD that of the record of the start, CALLERS pairs of user and client
id, as `59304:-1,59303:1`.

Whoever connects and is nobody of CALLERS is sent away without a word.  A caller that breaks the
rules, or does not fetch its replies, loses its connection; nobody else notices.  Connections take
turns, one call each.
"""

import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from openami.device.files import FLASH_FILE, OTP_FILE
from openami.device.flash import FlashFile
from openami.device.fwu import FirmwareUpdate, update_of
from openami.device.handover import Handover, handed_over
from openami.device.otp import Otp
from openami.device.secure.access import Caller
from openami.device.secure.codec import LARGEST_MESSAGE_OCTETS, Reply
from openami.device.secure.door import user_of
from openami.device.secure.hardening import HardeningError, harden
from openami.device.secure.service import HostileError, Service, Session
from openami.device.secure.updating import UpdateCalls
from openami.device.secure.world import World
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.firmware.errors import FirmwareError
from openami.psa.status import PsaError
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.process import stop_with_parent

Callers = Mapping[int, Caller]


class Stop:
    """Ends the loop after the call under way; may be set from a signal handler.

    Attributes:
        descriptor: Can be read once it is set.
        status: The exit status that was asked for.
    """

    def __init__(self) -> None:
        self.descriptor, self._writing = os.pipe()
        self.status = ExitCode.DONE

    def set(self, status: ExitCode) -> None:
        self.status = status
        os.write(self._writing, b".")


class Serving:
    """The loop of the process."""

    def __init__(self, service: Service, door: socket.socket, callers: Callers, stop: Stop) -> None:
        self._service, self._door, self._callers = service, door, callers
        self._selector = selectors.DefaultSelector()
        self._buffer = bytearray(LARGEST_MESSAGE_OCTETS + 1)
        self._stop = stop

    def run(self) -> ExitCode:
        """Serve until it is to stop; return the status of that."""
        self._door.setblocking(False)  # noqa: FBT003  the socket's own signature
        self._selector.register(self._door, selectors.EVENT_READ)
        self._selector.register(self._stop.descriptor, selectors.EVENT_READ)
        while True:
            knocking = False
            for key, _ in self._selector.select():
                if key.fileobj is self._door:
                    knocking = True  # who leaves makes room first
                elif key.fd == self._stop.descriptor:
                    return self._stop.status
                else:
                    self._serve(key.fileobj, key.data)  # type: ignore[arg-type]  # a socket
            if knocking:
                self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._door.accept()
        except OSError:
            return  # it went away again
        caller = self._callers.get(user_of(connection))
        if caller is None:
            connection.close()
            return
        try:
            session = self._service.connect(caller)
        except PsaError as error:
            connection.setblocking(False)  # noqa: FBT003
            _send(connection, Reply.refusing(0, error).encode())
            connection.close()
            return
        connection.setblocking(False)  # noqa: FBT003
        self._selector.register(connection, selectors.EVENT_READ, session)

    def _serve(self, connection: socket.socket, session: Session) -> None:
        try:
            octets = connection.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            octets = 0
        going_on = False
        if octets:
            # What does not fit is cut off by the system: one octet more than allowed tells so.
            request = bytes(memoryview(self._buffer)[:octets])
            try:
                if octets > LARGEST_MESSAGE_OCTETS:
                    request = b""
                going_on = _send(connection, session.serve(request))
            except HostileError as hostile:
                _send(connection, hostile.reply)
        if not going_on:
            self._selector.unregister(connection)
            connection.close()
            session.close()


def _send(connection: socket.socket, reply: bytes) -> bool:
    try:
        return connection.send(reply) == len(reply)
    except OSError:  # gone, or it does not fetch its replies
        return False


def callers_of(text: str) -> Callers:
    """Read pairs of user and client id."""
    pairs = (pair.split(":") for pair in text.split(","))
    return {int(uid): Caller(int(client)) for uid, client in pairs}


def serve(folder: Path, door: socket.socket, record: Handover, callers: Callers) -> ExitCode:
    """Be the secure world of the device whose secure folder this is; return the exit status.

    SIGTERM ends it, as does the restart that a caller asks for.

    Raises:
        UserError: Flash or memory cannot be used, or the process not be closed.
    """
    flash = FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)
    otp = Otp.open(folder / OTP_FILE)
    try:
        harden({door.fileno(), flash.fileno(), otp.fileno()})
        world = World(flash, otp, record, os.urandom)
        update = None if record.from_source else update_of(flash, folder)
    except HardeningError as error:
        raise UserError(f"the secure world does not start: {error}") from error
    except (PsaError, FirmwareError) as error:
        raise UserError(f"the secure world does not start: {error}: {REMEDY}") from error
    stopped = Stop()
    firmware = updating = None
    if update is not None:
        updating = UpdateCalls(update)
        firmware = FirmwareUpdate(flash, update, lambda: stopped.set(ExitCode.RESTART))
    serving = Serving(Service(world, firmware, updating), door, callers, stopped)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopped.set(ExitCode.DONE))
    try:
        return serving.run()
    finally:
        world.close()


REMEDY: Final = "exchange the device; what its flash held cannot be trusted"


def main(arguments: list[str]) -> int:
    """Run the secure world until SIGTERM; return the exit status."""
    folder, door, record, callers = arguments
    stop_with_parent()
    try:
        found = handed_over(int(record))
        if found is None:
            raise AssertionError("a descriptor was given")
        listening = socket.socket(fileno=int(door))
        return int(serve(Path(folder), listening, found, callers_of(callers)))
    except UserError as error:
        print(f"openami: {error}", file=sys.stderr)  # noqa: T201  the supervisor keeps it
        return int(error.exit_code)
