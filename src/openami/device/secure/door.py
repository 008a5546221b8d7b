# SPDX-License-Identifier: Apache-2.0
"""The door in the wall: a listening socket at a path, and who stands before it."""

import os
import socket
import struct
from pathlib import Path
from typing import Final

from openami.runtime.errors import UserError

WAITING: Final = 16
"""Connections that wait to be taken."""
_CREDENTIALS: Final = struct.Struct("3i")


def user_of(connection: socket.socket) -> int:
    """Return the user that the system names for the other end."""
    said = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(said)
    return int(uid)


def open_door(path: Path, kind: int = socket.SOCK_SEQPACKET) -> socket.socket:
    """Open a door at a path; everyone may knock, and who enters the credentials decide.

    Raises:
        UserError: The folder cannot be written.
    """
    door = socket.socket(socket.AF_UNIX, kind)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        path.unlink(missing_ok=True)
        door.bind(reachable(folder, path.name))
        path.chmod(0o666)
        door.listen(WAITING)
    except OSError as error:
        door.close()
        raise UserError(f"{path} cannot be opened ({error.strerror}): permit writing") from error
    finally:
        os.close(folder)
    return door


def knock(line: socket.socket, path: Path) -> None:
    """Connect a socket to the door at a path; it does not block, neither now nor afterwards.

    Raises:
        OSError: Nobody is there, or too many wait.
    """
    line.setblocking(False)  # noqa: FBT003  the socket's own signature
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        line.connect(reachable(folder, path.name))
    finally:
        os.close(folder)


def reachable(folder: int, name: str) -> str:
    """Return a path that is short enough for a socket, however deep the folder lies."""
    return f"/proc/self/fd/{folder}/{name}"
