# SPDX-License-Identifier: Apache-2.0
"""What a client wrote into the meter's objects, durable in one small file."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from openami.cosem.model import Attribute, InterfaceClass, Refused
from openami.device.storage import set_aside
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.errors import DlmsError
from openami.runtime.errors import ConfigurationError, UserError
from openami.runtime.files import read_json, write_json

log = logging.getLogger(__name__)

SETTINGS_FILE: Final = "settings.json"
REMEDY: Final = "it is begun anew"


class Settings:
    """Octets by name: encoded values of attributes, and what else has to last.

    Attributes:
        finding: A sentence if the file was damaged; it was set aside then.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one.

        Raises:
            StorageError: A damaged one cannot be set aside.
        """
        self._path = path
        self.finding: str | None = None
        self._kept: dict[str, bytes] = {}
        if path.exists():
            try:
                self._kept = {k: bytes.fromhex(v) for k, v in read_json(path, REMEDY).items()}
            except (ConfigurationError, ValueError, TypeError, AttributeError) as error:
                self.finding = set_aside(path, str(error))

    def get(self, name: str) -> bytes | None:
        return self._kept.get(name)

    def put(self, **changes: bytes) -> None:
        """Make values durable, all of them or none.

        Raises:
            Refused: The disk does not take them; they are as they were.
        """
        kept = self._kept | changes
        try:
            write_json(self._path, {name: octets.hex() for name, octets in kept.items()})
        except UserError as error:
            log.error("%s is not written: %s", self._path, error)  # noqa: TRY400
            raise Refused(DataAccessResult.TEMPORARY_FAILURE) from None
        self._kept = kept

    def keep(
        self,
        thing: InterfaceClass,
        *rows: Attribute[Any],
        check: Callable[[Any], None] = lambda _value: None,
    ) -> None:
        """Let attributes of an object last: those that were written, and those that will be."""
        for row in rows:
            name = _name(thing, row)
            if (octets := self._kept.get(name)) is not None:
                try:
                    thing.values[row.index] = row.kind.from_data(axdr_data.decode(octets))
                except DlmsError as error:
                    log.error("%s: %s is as at first: %s", self._path, name, error)  # noqa: TRY400
            thing.bind_sink(row, _Sink(self, thing, row, check))

    def write(
        self, thing: InterfaceClass, values: dict[Attribute[Any], Any], **also: bytes
    ) -> None:
        """Give attributes that are kept new values, all of them or none; raises `Refused`."""
        said = {_name(thing, row): row.kind.to_data(value) for row, value in values.items()}
        self.put(**{name: axdr_data.encode(data) for name, data in said.items()}, **also)
        thing.values.update({row.index: value for row, value in values.items()})


class _Sink:
    """Notes what a client writes into an attribute; thousands of meters hold some twenty each."""

    __slots__ = ("_check", "_row", "_settings", "_thing")

    def __init__(
        self,
        settings: Settings,
        thing: InterfaceClass,
        row: Attribute[Any],
        check: Callable[[Any], None],
    ) -> None:
        self._settings, self._thing = settings, thing
        self._row, self._check = row, check

    def __call__(self, value: Any) -> None:  # noqa: ANN401
        self._check(value)
        self._settings.write(self._thing, {self._row: value})


def _name(thing: InterfaceClass, row: Attribute[Any]) -> str:
    return f"{thing.logical_name}:{row.index}"
