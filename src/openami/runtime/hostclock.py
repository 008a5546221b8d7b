# SPDX-License-Identifier: Apache-2.0
"""Whether something keeps this machine's clock: what the kernel knows (adjtimex, RFC 5905, 14).

A time daemon tells the kernel that it is synchronised and how far off the clock may be; a kernel
that hears nothing for hours takes that back by itself.  chrony tells it where `rtcsync` stands in
its configuration, as in Debian's.  Nothing is set here, and reading needs no right.
"""

import ctypes
import sys
from typing import Final

STA_UNSYNC: Final = 0x0040
TIME_ERROR: Final = 5  # what adjtimex returns of a clock that is not synchronised


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>, as far as it is read; the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),  # 0: tell only
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


def is_kept() -> bool | None:
    """Tell whether a time daemon keeps the clock; None where the system does not tell."""
    if not sys.platform.startswith("linux"):
        return None
    told = _Timex(modes=0)
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(told))
    if state < 0:
        return None  # forbidden here, or not there
    return state != TIME_ERROR and not told.status & STA_UNSYNC
