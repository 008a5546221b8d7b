# SPDX-License-Identifier: Apache-2.0
"""What one client saw of a meter, object by object, as a file that people and programs read.

`Dump` holds an object list with versions and access rights, the value of every attribute that was
read, and why the others were not.  Values stand encoded, so that whatever a meter sends comes back
octet for octet; names and readable forms beside them are for people and are not read again.
Attributes that hold secrets are not asked for: `is_secret`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from openami.cosem.classes import chapters
from openami.cosem.literals import Json, plain
from openami.cosem.model import REGISTRY, InterfaceClass, declared
from openami.cosem.named import to_named
from openami.cosem.obis_names import describe
from openami.dlms import data as axdr_data
from openami.dlms.errors import DecodeError, in_octets
from openami.dlms.obis import Obis

FORMAT: Final = "openami-dump-1"
CHAPTERS: Final = chapters.CHAPTERS  # importing them declares every class

_SECRET: Final = re.compile(r"secret|passw|^pass_|pin_code|ppp_authentication|_keys?$|key_table")

SECRETS: Final = frozenset(
    (each.class_id, row.index)
    for each in REGISTRY.values()
    for row in each.attributes()
    if _SECRET.search(row.name)
)
"""Class and index of the attributes that hold passwords, codes and keys."""


class DumpError(ValueError):
    """A file that is no dump: what is missing or wrong, and where."""


def is_secret(class_id: int, index: int) -> bool:
    """Tell whether an attribute holds a secret, which no dump may."""
    return (class_id, index) in SECRETS


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpedAttribute:
    """One attribute.

    Attributes:
        mode: The access mode as the object list has it.
        selectors: How parts of it may be selected.
        octets: The encoded value; None where there is none.
        refused: Why there is none, empty where there is one.
    """

    index: int
    mode: int
    selectors: tuple[int, ...] = ()
    octets: bytes | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpedMethod:
    """One method and its access mode."""

    index: int
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpedObject:
    """One object of the list."""

    class_id: int
    version: int
    obis: Obis
    attributes: tuple[DumpedAttribute, ...]
    methods: tuple[DumpedMethod, ...]

    def octets(self, index: int) -> bytes | None:
        """Return the encoded value of an attribute; None where there is none."""
        found = (each.octets for each in self.attributes if each.index == index)
        return next(found, None)

    @property
    def table(self) -> type[InterfaceClass] | None:
        """The table of its class."""
        return declared(self.class_id, self.version)

    def checked(self) -> Self:
        """Return itself; raises `ValueError` for numbers that no object list can hold."""
        rows: tuple[DumpedAttribute | DumpedMethod, ...] = (*self.attributes, *self.methods)
        for what, number, low, high in (
            ("class", self.class_id, 0, 0xFFFF),
            ("version", self.version, 0, 0xFF),
            *(("index", row.index, -128, 127) for row in rows),
            *(("mode", row.mode, 0, 0xFF) for row in rows),
        ):
            if not low <= number <= high:
                raise ValueError(f"{what} {number} is not {low} to {high}")
        for kind, indexes in (
            ("attribute", [row.index for row in self.attributes]),
            ("method", [row.index for row in self.methods]),
        ):
            if len(set(indexes)) < len(indexes):
                raise ValueError(f"the same {kind} stands there twice")
        return self

    def to_json(self) -> Json:
        table = self.table
        rows = {row.index: row for row in table.attributes()} if table else {}
        names = {row.index: row.name for row in table.methods()} if table else {}
        attributes = []
        for each in self.attributes:
            row = rows.get(each.index)
            said: dict[str, Json] = {"index": each.index, "mode": each.mode}
            if row is not None:
                said["name"] = row.name
            if each.selectors:
                said["selectors"] = list(each.selectors)
            if each.octets is not None:
                said["value"] = _readable(each.octets, None if row is None else row.kind)
                said["hex"] = each.octets.hex()
            if each.refused:
                said["refused"] = each.refused
            attributes.append(said)
        methods = [
            {"index": each.index, "mode": each.mode}
            | ({"name": names[each.index]} if each.index in names else {})
            for each in self.methods
        ]
        return {
            "obis": str(self.obis),
            "class": self.class_id,
            "version": self.version,
            "class_name": table.__name__ if table else "not declared",
            "name": describe(self.obis),
            "attributes": attributes,
            "methods": methods,
        }

    @classmethod
    def from_json(cls, said: Any, place: str) -> Self:  # noqa: ANN401  a file may hold anything
        """Read what `to_json` wrote.

        Raises:
            DumpError: Something is missing or wrong.
        """
        try:
            obis = Obis.parse(said["obis"])
            place = f"{place}, {obis}"
            attributes = tuple(
                DumpedAttribute(
                    index=int(each["index"]),
                    mode=int(each["mode"]),
                    selectors=tuple(map(int, each.get("selectors", ()))),
                    octets=_checked(each["hex"]) if "hex" in each else None,
                    refused=str(each.get("refused", "")),
                )
                for each in said["attributes"]
            )
            methods = tuple(
                DumpedMethod(index=int(each["index"]), mode=int(each["mode"]))
                for each in said["methods"]
            )
            return cls(
                class_id=int(said["class"]),
                version=int(said["version"]),
                obis=obis,
                attributes=attributes,
                methods=methods,
            ).checked()
        except KeyError as error:
            raise DumpError(f"{place}: {error.args[0]!r} is missing") from None
        except (TypeError, AttributeError, ValueError, DecodeError) as error:
            raise DumpError(f"{place}: {error}") from None


def _checked(text: str) -> bytes:
    octets = bytes.fromhex(text)
    axdr_data.decode(octets)
    return octets


def _readable(octets: bytes, kind: Any) -> Json:  # noqa: ANN401  a Kind of whatever
    try:
        value = axdr_data.decode(octets)
        return plain(value) if kind is None else to_named(kind, value)
    except DecodeError as error:
        return f"not understood: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dump:
    """What one client saw of one logical device.

    Attributes:
        client: Its SAP.
        server: The SAP of the logical device.
        mechanism: How it authenticated: a name such as ``lls``.
        association_version: Of class 15, which says what access modes mean.
        system_title: The meter's; empty where it told none.
        taken: When, as ISO 8601.
        devices: Logical devices by SAP, as the SAP assignment names them.
        objects: In the order of the list.
    """

    client: int
    server: int
    mechanism: str
    association_version: int = 1
    system_title: bytes = b""
    taken: str = ""
    devices: Mapping[int, str] = field(default_factory=dict)
    objects: tuple[DumpedObject, ...]

    def checked(self) -> Self:
        """Return itself; raises `ValueError` for what no association can have."""
        if len(self.system_title) not in {0, 8}:
            raise ValueError(f"system_title has {in_octets(len(self.system_title))}, not 8")
        if not 0 <= self.client <= 0xFFFF or not 0 <= self.server <= 0xFFFF:
            raise ValueError("client and server are 0 to 65535")
        return self

    def to_json(self) -> Json:
        return {
            "format": FORMAT,
            "taken": self.taken,
            "system_title": self.system_title.hex().upper(),
            "client": self.client,
            "server": self.server,
            "mechanism": self.mechanism,
            "association_version": self.association_version,
            "devices": {str(sap): name for sap, name in self.devices.items()},
            "objects": [each.to_json() for each in self.objects],
        }

    @classmethod
    def from_json(cls, said: Any) -> Self:  # noqa: ANN401  a file may hold anything
        """Read what `to_json` wrote.

        Raises:
            DumpError: It is no dump, or something in it is missing or wrong.
        """
        if not isinstance(said, dict) or said.get("format") != FORMAT:
            raise DumpError(f"its format is not {FORMAT!r}: make one with `openami dump`")
        try:
            objects = tuple(
                DumpedObject.from_json(each, f"object {number}")
                for number, each in enumerate(said["objects"], 1)
            )
            return cls(
                client=int(said["client"]),
                server=int(said["server"]),
                mechanism=str(said["mechanism"]),
                association_version=int(said["association_version"]),
                system_title=bytes.fromhex(said.get("system_title", "")),
                taken=str(said.get("taken", "")),
                devices={int(sap): str(n) for sap, n in said.get("devices", {}).items()},
                objects=objects,
            ).checked()
        except KeyError as error:
            raise DumpError(f"{error.args[0]!r} is missing") from None
        except DumpError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise DumpError(str(error)) from None
