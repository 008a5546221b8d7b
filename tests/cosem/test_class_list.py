# SPDX-License-Identifier: Apache-2.0
"""Every table says what the list of `vectors/cosem/classes.toml` says, row by row."""

import re
import tomllib
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import pytest

from openami.cosem.classes.chapters import CHAPTERS
from openami.cosem.kinds import Kind, Shape
from openami.cosem.model import REGISTRY, Attribute, Method

LIST: Final = tomllib.loads(
    (Path(__file__).parents[1] / "vectors" / "cosem" / "classes.toml").read_text(encoding="utf-8")
)
TABLES: Final = {
    (table.class_id, table.version): table for chapter in CHAPTERS for table in chapter.classes()
}

SHORT: Final = {
    "CHOICE of integers": "CHOICE",
    "data of undeclared type": "?",
    "array of undeclared content": "arr",
    "structure of undeclared content": "{}",
    "compact-array of undeclared content": "compact",
    "octet-string date-time": "os12",
    "octet-string date": "os5",
    "octet-string time": "os4",
    "logical name": "os6",
    "capture_object_definition": "{u16,os6,i8,u16}",
    "structure of enum 0 by entity or 1 by serial number, and a structure": (
        "{enum,<{enum,enum,os}|{os,os}>}"
    ),
    "access mode": "enum",
    "Enum": "enum",
    "Integer": "i8",
    "Long": "i16",
    "DoubleLong": "i32",
    "Unsigned": "u8",
    "LongUnsigned": "u16",
    "DoubleLongUnsigned": "u32",
    "Long64Unsigned": "u64",
    "boolean": "bool",
    "null-data": "null",
    "octet-string": "os",
    "bit-string": "bs",
    "date-time": "dt",
    "visible-string": "vs",
    "utf8-string": "utf8",
}


def short(kind: Kind[Any]) -> str:
    """Return a kind as the list writes it."""
    parts = [short(part) for part in kind.parts]
    match kind.shape:
        case Shape.ARRAY:
            return f"arr {parts[0]}"
        case Shape.STRUCTURE:
            return f"{{{','.join(parts)}}}"
        case Shape.CHOICE:
            return f"<{'|'.join(parts)}>"
        case Shape.SIMPLE:
            if kind.name.startswith("enum "):
                return "enum"
            name = re.sub(r"^bit-string of (\d+)$", r"bs\1", kind.name)
            return SHORT.get(name, name)


def told(row: Attribute[Any], text: str) -> str:
    """Return an attribute as the list writes it.

    Where the list does not know the type the table may declare one, if it says that it is unsure.
    """
    kind = short(row.kind)
    unsure = row.unsure or row.owner.unsure
    return f"{row.index} {row.name} {'?' if text.endswith(' ?') and unsure else kind}"


def done(row: Method[Any, Any]) -> str:
    result = "" if row.result.name == "null-data" else f" -> {short(row.result)}"
    return f"{row.index} {row.name} {short(row.argument)}{result}"


def listed() -> dict[tuple[int, int], tuple[list[str], list[str], int | None]]:
    """Return the rows of every version; one that only adds has those of the version before."""
    found: dict[tuple[int, int], tuple[list[str], list[str], int | None]] = {}
    attributes: dict[int, str] = {}
    methods: dict[int, str] = {}
    last = None
    for entry in LIST["class"]:
        if entry["id"] != last:
            attributes, methods, last = {}, {}, entry["id"]
        attributes |= {int(row.split(" ")[0]): row for row in entry.get("attributes", [])}
        methods |= {int(row.split(" ")[0]): row for row in entry.get("methods", [])}
        for index in entry.get("gone", []):
            del methods[index]
        found[entry["id"], entry["version"]] = (
            [full(attributes[index]) for index in sorted(attributes)],
            [full(methods[index]) for index in sorted(methods)],
            entry.get("methods_at"),
        )
    return found


def full(row: str) -> str:
    return re.sub(r"@(\w+)", lambda name: str(LIST["types"][name[1]]), row)


LISTED: Final = listed()


def codes_of(kind: Kind[Any]) -> set[type[IntEnum]]:
    return set(kind.codes).union(*map(codes_of, kind.parts))


def test_every_class_and_version_is_listed() -> None:
    assert sorted(TABLES) == sorted(LISTED)
    assert {key for key, table in REGISTRY.items() if table.__module__.startswith("openami.")} == (
        set(TABLES)
    )


@pytest.mark.parametrize("key", sorted(LISTED), ids=lambda key: f"{key[0]}-v{key[1]}")
def test_a_table_has_the_rows_of_the_list(key: tuple[int, int]) -> None:
    attributes, methods, methods_at = LISTED[key]
    table = TABLES[key]

    rows = list(table.attributes())[1:]
    assert len(rows) == len(attributes)
    assert [told(row, text) for row, text in zip(rows, attributes, strict=True)] == attributes
    assert [done(row) for row in table.methods()] == methods
    assert table.methods_at == methods_at


def test_every_code_is_listed() -> None:
    found: dict[str, list[str]] = {}
    for table in TABLES.values():
        kinds = [row.kind for row in table.attributes()] + [row.argument for row in table.methods()]
        for codes in set().union(*map(codes_of, kinds)):
            found[codes.__name__] = [f"{int(code)} {code.name.lower()}" for code in codes]

    assert found == LIST["codes"]
