# SPDX-License-Identifier: Apache-2.0
"""The other side of the wall: calls as functions, one at a time, waited for.

A reply takes some 20 microseconds, so callers wait, as on a chip.  A secure world that is gone is
COMMUNICATION_FAILURE: it comes back with the restart of its module, and volatile keys do not.
"""

import os
import socket
from contextlib import suppress
from pathlib import Path

from openami.device.secure.calls import BY_NAME, Kind
from openami.device.secure.codec import (
    LARGEST_MESSAGE_OCTETS,
    CodecError,
    Reply,
    Request,
    Value,
    write,
)
from openami.device.secure.door import reachable
from openami.psa.status import PsaError, Status

REPLY_S = 30.0  # a call that takes so long never ends


class SecureClient:
    """One connection to a secure world."""

    def __init__(self, connection: socket.socket) -> None:
        """See `connect`."""
        self._socket = connection
        self._socket.settimeout(REPLY_S)
        self._buffer = bytearray(LARGEST_MESSAGE_OCTETS + 1)
        self._tag = 0

    @classmethod
    def connect(cls, door: Path) -> "SecureClient":
        """Connect to the door at a path.

        Raises:
            PsaError: COMMUNICATION_FAILURE, nobody is there.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            folder = os.open(door.parent, os.O_PATH | os.O_DIRECTORY)
            try:
                connection.connect(reachable(folder, door.name))
            finally:
                os.close(folder)
        except OSError as error:
            connection.close()
            raise _gone(f"nobody is there ({error.strerror})") from error
        return cls(connection)

    def close(self) -> None:
        """End the connection; what was begun in it is gone."""
        self._socket.close()

    def call(self, name: str, *arguments: Value) -> tuple[Value, ...]:
        """Call a function by its name in `calls`; return its results.

        Raises:
            PsaError: It is refused, or the secure world is gone.
        """
        function = BY_NAME[name]
        try:
            body = write(function.arguments, arguments)
        except CodecError as error:
            raise PsaError(Status.INVALID_ARGUMENT, str(error), name) from None
        self._tag = self._tag + 1 & 0xFFFF
        try:
            with suppress(BrokenPipeError):  # what it was sent away with can still be read
                self._socket.send(Request(function.number, self._tag, body).encode())
            octets = self._socket.recv_into(self._buffer)
        except OSError as error:
            raise _gone(f"the secure world does not answer ({error})") from error
        if not octets:
            raise _gone("the secure world ended the connection")
        try:
            reply = Reply.decode(bytes(memoryview(self._buffer)[:octets]))
            return reply.results(function.results)
        except CodecError as error:
            raise _gone(f"the secure world answers strangely: {error}") from None

    def whole(self, name: str, *arguments: Value) -> int:
        """Return the one result of a function that gives a number."""
        (found,) = self.call(name, *arguments)
        if not isinstance(found, int):
            raise TypeError(f"{name} gives no number")
        return found

    def octets(self, name: str, *arguments: Value) -> bytes:
        """Return the one result of a function that gives octets."""
        (found,) = self.call(name, *arguments)
        if not isinstance(found, bytes):
            raise TypeError(f"{name} gives no octets")
        return found

    def operation(self, kind: Kind) -> int:
        """Return the handle of a new multi-part operation."""
        return self.whole("operation_open", kind.value)


def _gone(problem: str) -> PsaError:
    return PsaError(Status.COMMUNICATION_FAILURE, problem, "wall")
