# SPDX-License-Identifier: Apache-2.0
"""Which meters of a fleet have no supply, told by a file: the world outside, as `terminals` is.

`openami meter supply` writes it; the running fleet looks at it.  Without a file all have supply.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Final

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json, write_durably

SUPPLY_FILE: Final = "supply.json"
REMEDY: Final = "write it again with `openami meter supply`, or remove it"


def load(path: Path) -> frozenset[int]:
    """Return the numbers of the meters without supply.

    Raises:
        ConfigurationError: The file is damaged.
    """
    if not path.exists():
        return frozenset()
    said = read_json(path, REMEDY)
    try:
        numbers = [*said["without_supply"]]
    except (KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} has no list without_supply: {REMEDY}") from error
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise ConfigurationError(f"{path}: {numbers!r} are no numbers of meters: {REMEDY}")
    return frozenset(numbers)


def store(path: Path, without: Collection[int]) -> None:
    """Write the file.

    Raises:
        UserError: The folder cannot be written.
    """
    write_durably(path, json.dumps({"without_supply": sorted(without)}).encode())


class Street:
    """The file, looked at again and again.

    Attributes:
        failing: Why it makes no sense; then what was true stays so.
    """

    def __init__(self, path: Path) -> None:
        self.failing = ""
        self._path = path
        self._seen: tuple[int, int] | None = None

    def changed(self) -> frozenset[int] | None:
        """Return who has no supply, at the first look and whenever the file is another."""
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            found = load(self._path)
        except ConfigurationError as error:
            self.failing = str(error)
            return None
        self.failing = ""
        return found

    def _stamp(self) -> tuple[int, int]:
        try:
            about = self._path.stat()
        except OSError:
            return 0, 0
        return about.st_ino, about.st_mtime_ns
