# SPDX-License-Identifier: Apache-2.0
"""Which object and which row a person means: `1.0.1.8.0.255`, `…:3`, `…:scaler_unit`, `…:reset`.

The class comes from the command line or from the meter's object list, and the class says which
names its rows have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from openami.cosem.asking.association import Steps
from openami.cosem.classes import chapters
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION, ObjectListElement
from openami.cosem.client import Client, ListedObject
from openami.cosem.model import Attribute, InterfaceClass, Method, declared
from openami.cosem.refusals import AccessError
from openami.dlms.obis import Obis
from openami.runtime.errors import ExitCode, UserError

DEFAULT_CLASS: Final = 3
VALUE: Final = 2
CHAPTERS: Final = chapters.CHAPTERS  # importing them declares every class

Row = Attribute[Any] | Method[Any, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """An object and one of its rows, by number or by name; a class of None is looked up."""

    obis: Obis
    row: int | str = VALUE
    class_id: int | None = None

    @classmethod
    def parse(cls, text: str, row: int | str | None, class_id: int | None) -> "Target":
        """Read `OBIS` or `OBIS:ROW`.

        Args:
            text: What the person wrote.
            row: The row where none is written; None if one must be.
            class_id: The class, where it is known.

        Raises:
            UserError: It is no OBIS code, or names no row.
        """
        try:
            obis = Obis.parse(text)
        except ValueError as error:
            body, colon, name = text.rpartition(":")
            if not colon or not _is_row(name):
                raise UserError(str(error), ExitCode.ASKED_WRONGLY) from None
            try:
                obis = Obis.parse(body)
            except ValueError as inner:
                raise UserError(str(inner), ExitCode.ASKED_WRONGLY) from None
            row = int(name) if name.removeprefix("-").isdecimal() else _plain(name)
            if isinstance(row, int) and not 1 <= row <= 127:
                sentence = f"{text}: {row} is no row of an object: use 1 to 127, or its name"
                raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
        if row is None:
            sentence = f"{text} names no method: write OBIS:METHOD, such as {text}:reset"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        return cls(obis, row, class_id)


def _is_row(text: str) -> bool:
    return text.removeprefix("-").isdecimal() or text.replace("-", "_").isidentifier()


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


@dataclass(frozen=True, slots=True)
class Place:
    """A row of an object of the meter.

    Attributes:
        of: The table of its class; None for a class that nobody declared.
        row: What the table says of the row; None where it says nothing.
    """

    obis: Obis
    class_id: int
    version: int
    index: int
    of: type[InterfaceClass] | None
    row: Row | None

    @property
    def name(self) -> str:
        """The name of the row, or its number."""
        return self.row.name if self.row is not None else str(self.index)

    def __str__(self) -> str:
        return f"{self.obis}:{self.name}"


class Objects:
    """The objects that a client sees, read once and only if somebody asks.

    Args:
        client: An open association.
        name: Which client that is, for sentences.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self._listed: dict[Obis, ListedObject] | None = None
        self._hidden = False

    def elements(self) -> Steps[Sequence[ObjectListElement]]:
        """Read the object list with rights; raises `AccessError` where the meter hides it."""
        return (yield from self.client.object_list())

    def class_of(self, target: Target) -> Steps[tuple[int, int]]:
        """Return class and version of an object.

        Raises:
            UserError: The client does not see it.
        """
        if target.class_id is not None:
            return target.class_id, 0
        if not self._hidden and self._listed is None:
            try:
                found = yield from self.client.objects()
                self._listed = {each.logical_name: each for each in found}
            except AccessError:
                self._hidden = True  # such a meter is asked as for a register
        if self._hidden or self._listed is None:
            return DEFAULT_CLASS, 0
        if target.obis not in self._listed:
            raise UserError(
                f"{target.obis} is not among the {len(self._listed)} objects that {self.name} can "
                f"see: read {CURRENT_ASSOCIATION} to list them, or be another --client"
            )
        element = self._listed[target.obis]
        return element.class_id, element.version

    def attribute(self, target: Target) -> Steps[Place]:
        """Find the attribute that is meant; raises `UserError` if the class has no such name."""
        class_id, version = yield from self.class_of(target)
        of = declared(class_id, version)
        rows: list[Row] = list(of.attributes()) if of else []
        return _place(target, class_id, version, of, (rows, "attribute"))

    def method(self, target: Target) -> Steps[Place]:
        """Find the method that is meant; raises `UserError` if the class has no such name."""
        class_id, version = yield from self.class_of(target)
        of = declared(class_id, version)
        rows: list[Row] = list(of.methods()) if of else []
        return _place(target, class_id, version, of, (rows, "method"))


def _place(
    target: Target,
    class_id: int,
    version: int,
    of: type[InterfaceClass] | None,
    table: tuple[Sequence[Row], str],
) -> Place:
    rows, kind = table
    wanted = target.row
    if isinstance(wanted, int):
        row = next((row for row in rows if row.index == wanted), None)
        return Place(target.obis, class_id, version, wanted, of, row)
    row = next((row for row in rows if row.name == wanted), None)
    if row is None:
        known = ", ".join(row.name for row in rows) or "none that is known here: give its number"
        title = of.__name__ if of else "not declared"
        sentence = f"class {class_id} ({title}) has no {kind} {wanted!r}; it has {known}"
        raise UserError(f"{target.obis}: {sentence}", ExitCode.ASKED_WRONGLY)
    return Place(target.obis, class_id, version, row.index, of, row)
