# SPDX-License-Identifier: Apache-2.0
"""What a process has cost, as the kernel counts it: time, memory, octets given to the disk."""

import os
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
OWN: Final = "self"


def memory_kib(pid: int | str = OWN) -> int:
    """Return the memory that is a process's own: resident, and no file's."""
    return _named(pid, "status", "RssAnon")


def peak_kib(pid: int | str = OWN) -> int:
    """Return the largest resident set of a process so far."""
    return _named(pid, "status", "VmHWM")


def written_octets(pid: int | str = OWN) -> int:
    """Return how many octets a process has made dirty for the disk."""
    return _named(pid, "io", "write_bytes")


def cpu_s(pid: int | str = OWN) -> float:
    """Return the processor time of a process, its own and the kernel's for it."""
    words = (PROC / str(pid) / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _named(pid: int | str, file: str, name: str) -> int:
    path = PROC / str(pid) / file
    for line in path.read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise SystemExit(f"{path} says nothing of {name}: measure on Linux")
