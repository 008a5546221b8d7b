# SPDX-License-Identifier: Apache-2.0
"""What a process says of itself: a small file a second, read by the supervisor and the console."""

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

FRESH_S = 5.0  # a status older than this is of a process that hangs or is gone

Figures = dict[str, int | float | str]


@dataclass(frozen=True, slots=True)
class Status:
    """A process's last word."""

    process: str
    pid: int
    age_s: float
    figures: Figures

    @property
    def fresh(self) -> bool:
        return self.age_s < FRESH_S


def write_status(folder: Path, process: str, figures: Figures) -> None:
    """Replace the status of `process`; a crash may lose it, nothing depends on it.

    Neither a full disk nor a folder that may not be written stops a service for a status.
    """
    path = folder / f"{process}.json"
    temporary = path.with_suffix(f".{os.getpid()}.new")
    said = {"pid": os.getpid(), "monotonic_s": time.monotonic(), "figures": figures}
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(said), encoding="utf-8")
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)


def read_statuses(folder: Path) -> list[Status]:
    """Return the last word of every process, by name."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            age_s = time.monotonic() - said["monotonic_s"]
            found.append(Status(path.stem, said["pid"], age_s, said["figures"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # half-removed or foreign: the next second brings a new one
    return found
