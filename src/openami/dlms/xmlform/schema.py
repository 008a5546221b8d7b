# SPDX-License-Identifier: Apache-2.0
"""The schema of the form (XSD 1.0), made from the same declarations that write and read it.

``openami-apdu.xsd`` beside this module is what `schema` returns; a test holds them together.
"""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from importlib.resources import files
from typing import Any, Final

from openami.dlms.data import BitString
from openami.dlms.obis import Obis
from openami.dlms.xmlform import values
from openami.dlms.xmlform.element import NAMESPACE
from openami.dlms.xmlform.messages import MESSAGES, NESTED, OCTETS, Kind, kinds
from openami.dlms.xmlform.values import hyphened

FILE: Final = "openami-apdu.xsd"

_TEXTS: Final = (
    ("octets-text", "xs:string", "([0-9A-Fa-f]{2}\\s*)*"),
    ("number-text", "xs:string", "\\s*[+\\-]?([0-9]+|0[xX][0-9A-Fa-f]+)\\s*"),
    ("truth-text", "xs:string", "\\s*(true|false)\\s*"),
    ("bits-text", "xs:string", "\\s*[01]*\\s*"),
    (
        "obis-text",
        "xs:string",
        "\\s*[0-9]{1,3}[.\\-][0-9]{1,3}[.:]([0-9]{1,3}\\.){2}[0-9]{1,3}[.*][0-9]{1,3}\\s*",
    ),
)
_ADDRESS: Final = "[0-9]+(\\.[0-9]+)?(/[124])?"


def shipped() -> str:
    """Return the schema as it comes with the package."""
    return (files(__package__) / FILE).read_text(encoding="utf-8")


def schema() -> str:
    """Return the schema, made anew."""
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
        '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"'
        f' xmlns="{NAMESPACE}" targetNamespace="{NAMESPACE}" elementFormDefault="qualified">'
    )
    lines = (*_texts(), *_root(), *_frames(), *_groups(), *_data(), *_classes())
    return "\n".join((head, *(f"  {line}" for line in lines), "</xs:schema>", ""))


def _texts() -> Iterator[str]:
    for name, base, pattern in _TEXTS:
        yield f'<xs:simpleType name="{name}">'
        yield f'  <xs:restriction base="{base}"><xs:pattern value="{pattern}"/></xs:restriction>'
        yield "</xs:simpleType>"
        yield f'<xs:complexType name="{name.removesuffix("-text")}-value">'
        yield f'  <xs:simpleContent><xs:extension base="{name}">'
        yield '    <xs:attribute name="name" type="xs:string"/>'
        yield '    <xs:attribute name="hex" type="octets-text"/>'
        yield "  </xs:extension></xs:simpleContent>"
        yield "</xs:complexType>"


def _root() -> Iterator[str]:
    yield '<xs:element name="openami"><xs:complexType>'
    yield '  <xs:choice minOccurs="0" maxOccurs="unbounded">'
    yield from (f'    <xs:element ref="{name}"/>' for name in ("wrapper", "hdlc", "m-bus"))
    yield '    <xs:group ref="apdu"/>'
    yield '    <xs:group ref="data"/>'
    yield "  </xs:choice>"
    yield "</xs:complexType></xs:element>"


def _attribute(name: str, kind: str, *, required: bool = False) -> str:
    use = ' use="required"' if required else ""
    return f'  <xs:attribute name="{name}" type="{kind}"{use}/>'


def _frames() -> Iterator[str]:
    yield '<xs:simpleType name="address-text">'
    yield '  <xs:restriction base="xs:string">'
    yield f'    <xs:pattern value="{_ADDRESS}"/>'
    yield "  </xs:restriction>"
    yield "</xs:simpleType>"
    yield '<xs:element name="llc" type="octets-value"/>'
    for name, rows in (
        ("wrapper", (("source", "number-text", True), ("destination", "number-text", True))),
        (
            "hdlc",
            (
                ("destination", "address-text", True),
                ("source", "address-text", True),
                ("control", "number-text", True),
                ("name", "xs:string", False),
                ("segmented", "xs:boolean", False),
                ("flag", "xs:string", False),
            ),
        ),
        (
            "m-bus",
            (
                ("source", "number-text", True),
                ("destination", "number-text", True),
                ("segment", "number-text", False),
                ("last", "xs:boolean", False),
                ("control", "number-text", False),
                ("address", "number-text", False),
            ),
        ),
    ):
        yield f'<xs:element name="{name}"><xs:complexType>'
        yield "  <xs:sequence>"
        if name == "hdlc":
            yield '    <xs:element ref="llc" minOccurs="0"/>'
        yield f'    <xs:group ref="apdu"{"" if name == "wrapper" else _OPTIONAL}/>'
        yield "  </xs:sequence>"
        yield from (_attribute(row, kind, required=needed) for row, kind, needed in rows)
        yield _attribute("octets", "octets-text")
        yield "</xs:complexType></xs:element>"


_OPTIONAL: Final = ' minOccurs="0"'


def _groups() -> Iterator[str]:
    for name, members in (("apdu", (*MESSAGES, OCTETS)), ("data", values.DATA)):
        yield f'<xs:group name="{name}"><xs:choice>'
        yield from (f'  <xs:element ref="{member}"/>' for member in members)
        yield "</xs:choice></xs:group>"
    yield f'<xs:element name="{OCTETS}" type="octets-value"/>'


def _data() -> Iterator[str]:
    for name in (values.NULL, values.DONT):
        yield f'<xs:element name="{name}"><xs:complexType/></xs:element>'
    yield f'<xs:element name="{values.BOOLEAN}" type="truth-value"/>'
    yield from (f'<xs:element name="{name}" type="number-value"/>' for name in values.INTEGERS)
    for name, base in (
        *((name, "xs:string") for name in (*values.FLOATS, *values.STRINGS)),
        ("compact-array", "octets-text"),
    ):
        attribute = values.TYPE_DESCRIPTION if name == "compact-array" else values.HEX
        yield f'<xs:element name="{name}"><xs:complexType><xs:simpleContent>'
        yield f'  <xs:extension base="{base}">'
        yield f'    <xs:attribute name="{attribute}" type="octets-text"/>'
        yield "  </xs:extension>"
        yield "</xs:simpleContent></xs:complexType></xs:element>"
    for name in ("octet-string", *values.FIXED_OCTETS):
        yield f'<xs:element name="{name}" type="octets-value"/>'
    yield '<xs:element name="bit-string" type="bits-value"/>'
    for name in values.CONTAINERS:
        yield f'<xs:element name="{name}"><xs:complexType>'
        yield '  <xs:group ref="data" minOccurs="0" maxOccurs="unbounded"/>'
        yield "</xs:complexType></xs:element>"


def _classes() -> Iterator[str]:
    """Yield a type for each class with fields, and an element for each that stands in a choice."""
    classes = _all_classes()
    elements = dict.fromkeys(MESSAGES, True)
    leaves: dict[str, type[Any]] = {}
    for kind in classes:
        for how in kinds(kind).values():
            if not how.items and how.single is not None:
                continue
            for member in how.members:
                name = hyphened(member.__name__)
                if _has_fields(member):
                    elements[name] = True
                elif member is not bytes and name not in values.DATA:
                    leaves[name] = member
    for kind in classes:
        yield from _class(kind, message=hyphened(kind.__name__) in MESSAGES)
    yield from (f'<xs:element name="{name}" type="{name}"/>' for name in elements)
    for name, leaf in leaves.items():
        yield f'<xs:element name="{name}" type="{_text_type(leaf)}"/>'


def _all_classes() -> list[type[Any]]:
    """Return the messages and what they are made of, each once."""
    todo: list[type[Any]] = list(MESSAGES.values())
    done: list[type[Any]] = []
    while todo:
        kind = todo.pop(0)
        if kind not in done:
            done.append(kind)
            members = (member for how in kinds(kind).values() for member in how.members)
            todo += [member for member in members if _has_fields(member)]
    return done


def _has_fields(kind: type[Any]) -> bool:
    return is_dataclass(kind) and kind is not BitString


def _class(kind: type[Any], *, message: bool) -> Iterator[str]:
    yield f'<xs:complexType name="{hyphened(kind.__name__)}">'
    yield "  <xs:sequence>"
    rows = kinds(kind)
    for row in fields(kind):
        how = rows[row.name]
        optional = how.absent is not ... or row.default is not MISSING
        yield from _field(row.name, how, _OPTIONAL if optional else "")
    yield "  </xs:sequence>"
    if message:
        yield _attribute("octets", "octets-text")
    yield "</xs:complexType>"


def _field(name: str, how: Kind, optional: str) -> Iterator[str]:
    opening = f'    <xs:element name="{name.replace("_", "-")}"{optional}'
    single = how.single
    if not how.items and single is not None and name not in NESTED:
        kind = hyphened(single.__name__) if _has_fields(single) else _text_type(single)
        yield f'{opening} type="{kind}"/>'
        return
    yield f"{opening}><xs:complexType>"
    if name in NESTED:
        yield '      <xs:sequence><xs:group ref="apdu"/></xs:sequence>'
    else:
        many = ' minOccurs="0" maxOccurs="unbounded"' if how.items else ""
        yield f"      <xs:choice{many}>"
        for member in how.members:
            leaf = OCTETS if member is bytes else hyphened(member.__name__)
            yield f'        <xs:element ref="{leaf}"/>'
        if how.data:
            yield '        <xs:group ref="data"/>'
        yield "      </xs:choice>"
    yield "    </xs:complexType></xs:element>"


def _text_type(kind: type[Any]) -> str:
    for base, name in (
        (bool, "truth-value"),
        (int, "number-value"),
        (bytes, "octets-value"),
        (Obis, "obis-value"),
        (BitString, "bits-value"),
    ):
        if issubclass(kind, base):
            return name
    raise TypeError(f"{kind.__name__} has no text")
