# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of its clock."""

import ctypes
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from openami.runtime import hostclock


@pytest.mark.parametrize(
    ("state", "status", "kept"),
    [
        (0, 0x2001, True),
        (5, 0x0040, False),  # as a kernel says that no daemon ever told
        (0, 0x0040, False),
        (-1, 0, None),  # forbidden
    ],
)
def test_what_the_kernel_says(
    monkeypatch: pytest.MonkeyPatch,
    state: int,
    status: int,
    kept: bool | None,  # noqa: FBT001
) -> None:
    def adjtimex(told: Any) -> int:
        assert told._obj.modes == 0  # nothing is set
        told._obj.status = status
        return state

    library = SimpleNamespace(adjtimex=adjtimex)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_kw: library)
    assert hostclock.is_kept() is kept


def test_this_kernel_is_asked_without_any_right() -> None:
    assert hostclock.is_kept() in {True, False, None}
    assert ctypes.sizeof(hostclock._Timex) >= 208  # struct timex of 64-bit Linux


def test_elsewhere_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert hostclock.is_kept() is None
