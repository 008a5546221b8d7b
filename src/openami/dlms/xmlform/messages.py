# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ANN401  annotations and fields of any class are walked here
"""Messages as elements, by their own declarations: one element a class, one child a field.

`Kind` reads the annotation of a field once and says how it is written:

- one type that is a number, octets, a name or a code: its text;
- one class with fields of its own: their elements;
- several types, or data: one element inside, named by its type;
- a tuple: one such element for each item.

A field that is absent is left out.  Octets that are an APDU of their own (`NESTED`) are written as
that APDU.
"""

import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum, IntEnum, IntFlag
from types import MappingProxyType, NoneType
from typing import Any, Final

from openami.dlms.apdu import ciphered, registry
from openami.dlms.apdu.fields import ABSENT, Absent
from openami.dlms.apdu.invocation import InvokeIdAndPriority, LongInvokeIdAndPriority
from openami.dlms.apdu.registry import Apdu
from openami.dlms.data import BitString, DontCare, FixedInteger
from openami.dlms.errors import DlmsError
from openami.dlms.gateway import GatewayRequest, GatewayResponse
from openami.dlms.obis import Obis
from openami.dlms.xmlform import values
from openami.dlms.xmlform.element import Element
from openami.dlms.xmlform.values import hyphened

OCTETS: Final = "octets"
EXACT: Final = "octets"
"""Attribute of an APDU whose fields would be written in other octets than it came in."""

NESTED: Final = frozenset({"user_information", "content", "apdu"})
"""Fields whose octets are an APDU."""

MESSAGES: Final[MappingProxyType[str, type[Any]]] = MappingProxyType(
    {
        hyphened(kind.__name__): kind
        for kind in (
            *registry.classes(),
            ciphered.ServiceCiphering,
            GatewayRequest,
            GatewayResponse,
        )
    }
)
"""Every message, by the name of its element."""

_TEXTS: Final = (bool, int, bytes, Obis, BitString)


@dataclass(frozen=True, slots=True)
class Kind:
    """How a field is written.

    Attributes:
        members: The types that it may have, but for those of data and for absence.
        data: Whether it may be data.
        items: Whether it is a tuple of them.
        absent: What it is when it is left out: None, `ABSENT`; `...` if it may not be.
    """

    members: tuple[type, ...]
    data: bool
    items: bool
    absent: object

    @property
    def single(self) -> type | None:
        """The one type that needs no element of its own; None if there is a choice."""
        return self.members[0] if len(self.members) == 1 and not self.data else None


def kinds(message: type[Any]) -> MappingProxyType[str, Kind]:
    """Return how each field of a class is written, in wire order."""
    hints = typing.get_type_hints(message)
    return MappingProxyType({row.name: _kind(hints[row.name]) for row in fields(message)})


def _kind(hint: Any) -> Kind:
    choices = _choices(hint)
    absent: object = ...
    if Absent in choices:
        absent = ABSENT
    elif NoneType in choices and FixedInteger not in choices:
        absent = None
    items = [choice for choice in choices if typing.get_origin(choice) is tuple]
    if items:
        inside = _kind(typing.get_args(items[0])[0])
        return Kind(inside.members, inside.data, items=True, absent=absent)
    is_data = FixedInteger in choices
    skipped = {NoneType, Absent} | ({bool, DontCare} if is_data else set())
    members = tuple(
        choice
        for choice in choices
        if choice not in skipped and not (is_data and choice.__module__ == FixedInteger.__module__)
    )
    return Kind(members, is_data, items=False, absent=absent)


def _choices(hint: Any) -> tuple[Any, ...]:
    arguments = typing.get_args(hint)
    return arguments if arguments and typing.get_origin(hint) is not tuple else (hint,)


# To elements.


def to_element(message: object) -> Element:
    """Return a message as an element with its fields."""
    return Element(hyphened(type(message).__name__), children=_fields_of(message))


def apdu_element(octets: bytes) -> Element:
    """Return an APDU as an element; what is none as its octets."""
    try:
        message = _decode(octets)
        element = to_element(message)
        made = message.encode()
    except (DlmsError, ValueError):
        return Element(OCTETS, text=octets.hex())
    if made != octets:
        element.attributes[EXACT] = octets.hex()
    return element


def _decode(octets: bytes) -> Apdu:
    for kind in (GatewayRequest, GatewayResponse):
        if octets[:1] == bytes((kind.TAG,)):
            return kind.decode(octets)
    return registry.decode(octets)


def _fields_of(message: object) -> list[Element]:
    children = []
    for name, kind in kinds(type(message)).items():
        value = getattr(message, name)
        if value is kind.absent:
            continue
        children.append(_field(name, kind, value))
    return children


def _field(name: str, kind: Kind, value: Any) -> Element:
    element = Element(name.replace("_", "-"))
    if kind.items:
        element.children = [_choice(kind, each) for each in value]
    elif kind.single is None:
        element.children = [_choice(kind, value)]
    elif name in NESTED:
        element.children = [apdu_element(value)]
    elif is_dataclass(kind.single) and kind.single is not BitString:
        element.children = _fields_of(value)
    else:
        _write_text(element, value)
    return element


def _choice(kind: Kind, value: Any) -> Element:
    """Return an item, or one of several types, as an element of its own."""
    for member in kind.members:
        if type(value) is member or (isinstance(value, member) and not kind.data):
            if is_dataclass(member) and member is not BitString:
                return to_element(value)
            element = Element(_leaf_name(member))
            _write_text(element, value)
            return element
    return values.to_element(value)


def _leaf_name(kind: type) -> str:
    return OCTETS if kind is bytes else hyphened(kind.__name__)


def _write_text(element: Element, value: object) -> None:
    if isinstance(value, bytes):
        element.text = bytes(value).hex()
    elif isinstance(value, bool):
        element.text = "true" if value else "false"
    elif isinstance(value, IntFlag | InvokeIdAndPriority | LongInvokeIdAndPriority):
        element.text = f"0x{int(value):X}"
    elif isinstance(value, int):
        element.text = str(int(value))
    elif isinstance(value, BitString):
        bits = values.to_element(value)
        element.text, element.attributes = bits.text, bits.attributes
    else:
        element.text = str(value)
    if isinstance(value, IntFlag):
        names = (flag.name or "" for flag in type(value) if flag in value)
        element.attributes["name"] = " ".join(names).lower().replace("_", "-")
    elif isinstance(value, Enum):
        element.attributes["name"] = value.name.lower().replace("_", "-")


# From elements.


def from_element(element: Element) -> Apdu:
    """Return the message that an element is.

    Raises:
        XmlError: It is none; the sentence tells the line.
    """
    kind = MESSAGES.get(element.name)
    if kind is None:
        raise element.refusal("is no APDU")
    message: Apdu = _build(kind, element)
    return message


def apdu_octets(element: Element) -> bytes:
    """Return the octets of the APDU that an element is.

    Raises:
        XmlError: It is none, or its fields do not fit together.
    """
    if element.name == OCTETS:
        return values.octets_of(element)
    if EXACT in element.attributes:
        return values.from_hex(element, element.attributes[EXACT])
    message = from_element(element)
    try:
        return message.encode()
    except (ValueError, TypeError, OverflowError) as error:
        raise element.refusal(f"cannot be encoded: {error}") from None


def _build(kind: type[Any], element: Element) -> Any:
    given = {child.name: child for child in element.children}
    if len(given) != len(element.children):
        raise element.refusal("holds an element twice")
    made: dict[str, Any] = {}
    rows = kinds(kind)
    for row in fields(kind):
        child = given.pop(row.name.replace("_", "-"), None)
        how = rows[row.name]
        if child is not None:
            made[row.name] = _value(row.name, how, child)
        elif how.absent is not ...:
            made[row.name] = how.absent
        elif row.default is MISSING:
            raise element.refusal(f"needs <{row.name.replace('_', '-')}>")
    if given:
        name, child = next(iter(given.items()))
        raise child.refusal(f"has no place in <{element.name}>") if name else child.refusal("?")
    try:
        return kind(**made)
    except (ValueError, TypeError) as error:
        raise element.refusal(f"is no such message: {error}") from None


def _value(name: str, kind: Kind, element: Element) -> Any:
    if kind.items:
        return tuple(_chosen(kind, child) for child in element.children)
    if kind.single is None:
        return _chosen(kind, element.only_child())
    if name in NESTED:
        return apdu_octets(element.only_child())
    if is_dataclass(kind.single) and kind.single is not BitString:
        return _build(kind.single, element)
    return _read_text(kind.single, element)


def _chosen(kind: Kind, element: Element) -> Any:
    for member in kind.members:
        if is_dataclass(member) and member is not BitString:
            if element.name == hyphened(member.__name__):
                return _build(member, element)
        elif element.name == _leaf_name(member):
            return _read_text(member, element)
    if not kind.data:
        names = ", ".join(_leaf_name(member) for member in kind.members)
        raise element.refusal(f"is none of {names}")
    return values.from_element(element)


def _read_text(kind: type, element: Element) -> Any:
    if element.children:
        raise element.children[0].refusal(f"has no place in <{element.name}>")
    reader = next(reader for base, reader in _LEAVES if issubclass(kind, base))
    try:
        return reader(kind, element)
    except ValueError as error:
        if str(error).startswith("line "):
            raise
        raise element.refusal(f"is no such value: {error}") from None


def _truth(_kind: type, element: Element) -> Any:
    return values.from_element(Element(values.BOOLEAN, text=element.text, line=element.line))


def _bits(_kind: type, element: Element) -> Any:
    named = Element("bit-string", element.attributes, element.text, line=element.line)
    return values.from_element(named)


_LEAVES: Final[tuple[tuple[type, Callable[[Any, Element], Any]], ...]] = (
    (bool, _truth),
    (IntEnum, lambda kind, element: kind(values.number_of(element))),
    (int, lambda kind, element: kind(values.number_of(element))),
    (bytes, lambda kind, element: kind(values.octets_of(element))),
    (Obis, lambda kind, element: kind.parse(element.text)),
    (BitString, _bits),
)
"""Readers of what is written as text, by the type that it becomes."""
