# SPDX-License-Identifier: Apache-2.0
"""Configuration files: each value read by its kind, each mistake told with its place.

A loader names the keys that it wants, one by one; what nobody named is refused at the end, so that
a key written wrongly is not taken for a default in silence.  Every sentence says which file, which
table, which key, what stands there, what should, and what to do.
"""

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_toml

REMEDY: Final = "correct it, or remove it and run `openami up` once to write it again"
TITLE_OCTETS: Final = 8
MOST: Final = 2**63 - 1

T = TypeVar("T")


class Table:
    """One table of a file; without a default a key must be there."""

    def __init__(self, file: "ConfigFile", name: str, values: Mapping[str, Any]) -> None:
        self._file = file
        self._name = name
        self._values = values
        self._known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def place(self, key: str) -> str:
        """Return where a value stands, for the sentence of whoever parses it."""
        return f"[{self._name}] {key} in {self._file.path}"

    def ignore(self, *keys: str) -> None:
        """Accept keys that are for others."""
        self._known.update(keys)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.refused(key, "text")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.refused(key, "true or false")
        return value

    def whole(
        self, key: str, default: int | None = None, *, least: int = 0, most: int = MOST
    ) -> int:
        """Return a whole number within bounds."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            wanted = f"of {least} or more" if most == MOST else f"from {least} to {most}"
            raise self.refused(key, f"a whole number {wanted}")
        return value

    def wholes(self, key: str, *, most: int = MOST) -> list[int]:
        """Return a list of whole numbers from 0 to `most`."""
        value = self._value(key, None)
        if not isinstance(value, list) or not all(
            isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= most
            for each in value
        ):
            raise self.refused(key, f"a list of whole numbers from 0 to {most}")
        return value

    def number(self, key: str, default: float | None = None, *, least: float = 0.0) -> float:
        """Return a number, e.g. of seconds."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.refused(key, "a number")
        if not least <= value < MOST:
            raise self.refused(key, f"a number of {least:g} or more")
        return float(value)

    def title(self, key: str) -> bytes:
        """Return a system title."""
        return self.parsed(key, system_title, "a system title of 16 hex digits")

    def titles(self, key: str) -> list[bytes]:
        """Return a list of system titles."""
        value = self._value(key, None)
        wanted = "a list of system titles of 16 hex digits"
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.refused(key, wanted)
        try:
            return [system_title(text) for text in value]
        except ValueError as error:
            raise self.refused(key, wanted) from error

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        """Return a list of texts."""
        value = self._value(key, default)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.refused(key, "a list of texts")
        return value

    def zone(self, key: str, default: str | None = None) -> ZoneInfo:
        """Return a time zone."""
        try:
            return ZoneInfo(self.text(key, default))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise self.refused(key, "a name of the IANA time zone database") from error

    def path(self, key: str, default: str | None = None) -> Path:
        """Return a path; a relative one starts at the folder of the file."""
        return (self._file.path.parent / self.text(key, default)).resolve()

    def parsed(
        self, key: str, parse: Callable[[str], T], wanted: str, default: str | None = None
    ) -> T:
        """Return what `parse` makes of a text; its ValueError is a mistake in the file."""
        try:
            return parse(self.text(key, default))
        except ValueError as error:
            raise self.refused(key, wanted) from error

    def moment_us(self, key: str, wanted: str) -> int:
        """Return a moment with its offset, microseconds UTC; as text or as TOML writes times."""
        value = self._value(key, None)
        try:
            found = datetime.fromisoformat(value) if isinstance(value, str) else value
        except ValueError as error:
            raise self.refused(key, wanted) from error
        if not isinstance(found, datetime) or found.tzinfo is None:
            raise self.refused(key, wanted)
        return round(found.timestamp() * 1_000_000)

    def settings(self, kind: type[T], defaults: T | None = None) -> T:
        """Return a dataclass of flags, whole numbers and numbers from this table.

        Every field has a default, of its own or of `defaults`; the metadata `least` may name its
        least value, else it is 0.
        """
        found: dict[str, int | float] = {}
        for each in fields(kind):  # type: ignore[arg-type]  # a dataclass
            default: Any = each.default if defaults is None else getattr(defaults, each.name)
            if isinstance(default, bool):
                found[each.name] = self.flag(each.name, default=default)
                continue
            read = self.whole if isinstance(default, int) else self.number
            found[each.name] = read(each.name, default, least=each.metadata.get("least", 0))
        return kind(**found)

    def refused(self, key: str, wanted: str) -> ConfigurationError:
        """Return the refusal of a value that is not as wanted."""
        value = self._values.get(key)
        sentence = f"{self._file.path}: [{self._name}] {key} is {value!r}, not {wanted}"
        return ConfigurationError(f"{sentence}: {self._file.remedy}")

    def refuse_unknown(self) -> None:
        """Refuse a key that nobody named.

        Raises:
            ConfigurationError: With the keys that there are.
        """
        for key in self._values:
            if key not in self._known:
                known = ", ".join(sorted(self._known))
                sentence = f"{self._file.path}: [{self._name}] has no key {key}; known are {known}"
                raise ConfigurationError(f"{sentence}: {self._file.remedy}")

    def _value(self, key: str, default: object) -> object:
        self._known.add(key)
        value = self._values.get(key, default)
        if value is None:
            sentence = f"{self._file.path} lacks the key {key!r} of [{self._name}]"
            raise ConfigurationError(f"{sentence}: {self._file.remedy}")
        return value


def setting(default: T, *, least: float) -> T:
    """Declare a field for `Table.settings` with a least value other than 0."""
    return field(default=default, metadata={"least": least})


class ConfigFile:
    """A TOML file of tables.

    Attributes:
        path: Where it is.
        remedy: How every sentence ends.
    """

    def __init__(self, path: Path, remedy: str = REMEDY) -> None:
        """Read the file.

        Raises:
            ConfigurationError: It is missing or no TOML.
        """
        self.path = path
        self.remedy = remedy
        self._values = read_toml(path, remedy)
        self._tables: dict[str, Table] = {}
        self._groups: set[str] = set()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what the file has at its top."""
        return tuple(self._values)

    def table(self, name: str) -> Table:
        """Return a table; one that is missing is empty, so that its defaults hold."""
        if name not in self._tables:
            values = self._values.get(name, {})
            if not isinstance(values, dict):
                sentence = f"{self.path}: {name} is {values!r}, not a table [{name}]: {self.remedy}"
                raise ConfigurationError(sentence)
            self._tables[name] = Table(self, name, values)
        return self._tables[name]

    def group(self, name: str) -> dict[str, Table]:
        """Return the tables `[name.…]` by the second part of their names; none is an empty group.

        Raises:
            ConfigurationError: What stands there is no table of tables.
        """
        self._groups.add(name)
        values = self._values.get(name, {})
        found: dict[str, Table] = {}
        for key, rows in values.items() if isinstance(values, dict) else [(name, values)]:
            if not isinstance(rows, dict):
                sentence = f"{self.path}: {key} in {name} is {rows!r}, not a table [{name}.NAME]"
                raise ConfigurationError(f"{sentence}: {self.remedy}")
            found[key] = self._tables[f"{name}.{key}"] = Table(self, f"{name}.{key}", rows)
        return found

    def refuse_unknown(self) -> None:
        """Refuse tables and keys that nobody named; call it when all is read.

        Raises:
            ConfigurationError: With the names that there are.
        """
        for name in self._values:
            if name not in self._tables and name not in self._groups:
                known = ", ".join(f"[{each}]" for each in sorted(self._tables))
                sentence = f"{self.path} has no key or table {name}; known are {known}"
                raise ConfigurationError(f"{sentence}: {self.remedy}")
        for table in self._tables.values():
            table.refuse_unknown()


def system_title(text: str) -> bytes:
    """Return the system title that 16 hex digits write.

    Raises:
        ValueError: They are not.
    """
    try:
        title = bytes.fromhex(text)
    except ValueError:
        title = b""
    if len(title) != TITLE_OCTETS:
        raise ValueError(f"a system title has 16 hex digits, not {text!r}")
    return title
