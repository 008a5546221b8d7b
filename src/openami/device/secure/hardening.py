# SPDX-License-Identifier: Apache-2.0
"""What the secure world gives up before it holds a secret, so that nobody can look in.

Linux lets the same user read another process of its own: its memory, its environment, its open
files.  A process that is not dumpable is closed to everyone but root, attached debuggers included,
and leaves no core file.  It also gives up gaining rights by starting other programs.  Its
environment is for whoever starts it to keep clean.
"""

import ctypes
import os
import resource
from collections.abc import Collection
from typing import Final

PR_SET_DUMPABLE: Final = 4
PR_GET_DUMPABLE: Final = 3
PR_SET_NO_NEW_PRIVS: Final = 38
SAFE_UMASK: Final = 0o077


class HardeningError(Exception):
    """The system does not do what keeps others out."""


def harden(keep: Collection[int] = ()) -> None:
    """Close the process; call it when everything is imported, and before keys are read.

    Args:
        keep: Descriptors that stay open beside the three standard ones.

    Raises:
        HardeningError: The system refuses; the process must not hold secrets then.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_DUMPABLE, 0), (PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0):
            problem = os.strerror(ctypes.get_errno())
            raise HardeningError(f"prctl {option} is refused ({problem}): a Linux is needed")
    if libc.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0):
        raise HardeningError("the process stays dumpable: a Linux is needed")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(SAFE_UMASK)
    first = 3
    for descriptor in sorted(set(keep)):
        os.closerange(first, descriptor)
        first = max(first, descriptor + 1)
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
