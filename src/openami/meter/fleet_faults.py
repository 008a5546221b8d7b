# SPDX-License-Identifier: Apache-2.0
"""Which meters of a fleet fail the self-test of new firmware, told by a file, for trials.

A fleet's meter does not run the image that it received, so a bad one is bad by what is said here:
`openami fleet faults` writes it, and a meter looks at it when its trial begins.  Who fails follows
from the seed, the version and the meter's number alone: again and again the same ones.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json, write_durably

FAULTS_FILE: Final = "faults.json"
REMEDY: Final = "write it again with `openami fleet faults`, or remove it"
CHECKS: Final = ("metrology", "storage", "profile", "uplink")
"""The self-test's parts, in their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Firmware that some meters find bad.

    Attributes:
        version: As it is in the image, 1.2.0; empty for any.
        percent: Of meters that fail.
        check: The part of the self-test that they fail.
        seed: Chooses them.
    """

    version: str
    percent: float
    check: str
    seed: int

    def strikes(self, meter_id: int, shown: str) -> bool:
        """Tell whether a meter fails with firmware of which it shows this version."""
        if self.version and shown.rpartition(" ")[2].partition("+")[0] != self.version:
            return False
        draw = Random(f"{self.seed} {shown} {meter_id}").random()  # noqa: S311  no secret
        return draw * 100 < self.percent


def load(path: Path) -> tuple[Fault, ...]:
    """Return what is said; nothing without a file.

    Raises:
        ConfigurationError: The file is damaged.
    """
    if not path.exists():
        return ()
    said = read_json(path, REMEDY)
    try:
        found = tuple(
            Fault(
                version=str(each["version"]),
                percent=float(each["percent"]),
                check=str(each["check"]),
                seed=int(each["seed"]),
            )
            for each in said["firmware"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} has no list of faults ({error!r}): {REMEDY}") from error
    for each in found:
        if each.check not in CHECKS:
            raise ConfigurationError(f"{path}: {each.check!r} is none of {CHECKS}: {REMEDY}")
    return found


def store(path: Path, faults: Sequence[Fault]) -> None:
    """Write the file.

    Raises:
        UserError: The folder cannot be written.
    """
    rows = [
        {"version": each.version, "percent": each.percent, "check": each.check, "seed": each.seed}
        for each in faults
    ]
    write_durably(path, json.dumps({"firmware": rows}, indent=1).encode())


class Faults:
    """The file, looked at when a trial begins."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def failing(self, meter_id: int, shown: str) -> str:
        """Return the part of the self-test that a meter fails with a version; empty for none.

        Raises:
            ConfigurationError: The file is damaged.
        """
        for fault in load(self._path):
            if fault.strikes(meter_id, shown):
                return fault.check
        return ""
