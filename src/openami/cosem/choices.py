# SPDX-License-Identifier: Apache-2.0
"""Kinds for what the standard leaves open: alternatives, codes that grow, types not known here.

`kinds` has the types that are one thing only.  What these read is never more narrow than what
meters send: an unknown code stays a number, an attribute whose type is not declared stays COSEM
data.  Nothing is guessed.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from typing import Any, Final, TypeVar

from openami.cosem.kinds import Kind, KindError, Shape, describe
from openami.dlms.data import (
    Array,
    BitString,
    CompactArray,
    Data,
    Enum,
    FixedInteger,
    Structure,
    Utf8String,
    VisibleString,
)

T = TypeVar("T")
V = TypeVar("V", VisibleString, Utf8String)


def coded(codes: type[IntEnum]) -> Kind[int]:
    """Return the kind of an enum whose list is open: a code not in `codes` stays a number."""
    name = f"enum {codes.__name__}"
    known = {int(code): code for code in codes}

    def from_data(found: Data) -> int:
        if not isinstance(found, FixedInteger) or not 0 <= found <= 0xFF:
            raise KindError(name, describe(found))
        return known.get(int(found), int(found))

    return Kind(name, Enum, from_data, codes=(codes,))


def noted(kind: Kind[T], *codes: type[IntEnum]) -> Kind[T]:
    """Return `kind` with the codes, bits or type numbers that stand in it, for the reference."""
    return replace(kind, codes=codes)


def bits(size: int | None = None, codes: type[IntEnum] | None = None) -> Kind[BitString]:
    """Return the kind of a bit-string of `size` bits, whose bits `codes` names from 0 on."""
    name = "bit-string" if size is None else f"bit-string of {size}"

    def to_data(value: BitString) -> Data:
        if size is not None and value.length_bits != size:
            raise ValueError(f"a {name} cannot hold {value.length_bits} bits")
        return value

    def from_data(found: Data) -> BitString:
        if not isinstance(found, BitString) or (size is not None and found.length_bits != size):
            raise KindError(name, describe(found))
        return found

    return Kind(name, to_data, from_data, codes=(codes,) if codes else (), size=size)


def choice(name: str, *alternatives: tuple[Callable[..., T], Kind[Any]]) -> Kind[T]:
    """Return the kind of a value that is one of several, each with its own Python type.

    Data is read as the first alternative that fits it; a value is written as its type says.
    """

    def to_data(value: T) -> Data:
        for made_of, kind in alternatives:
            if type(value) is made_of:
                return kind.to_data(value)
        wanted = ", ".join(made_of.__name__ for made_of, _ in alternatives)
        raise TypeError(f"a {name} is one of {wanted}, not {value!r}")

    def from_data(found: Data) -> T:
        for _, kind in alternatives:
            try:
                value: T = kind.from_data(found)
            except KindError:
                continue
            return value
        raise KindError(name, describe(found))

    parts = tuple(kind for _, kind in alternatives)
    return Kind(name, to_data, from_data, shape=Shape.CHOICE, parts=parts)


def labelled(code: int, kind: Kind[T]) -> Kind[T]:
    """Return the kind of a structure of an enum that is always `code`, and a value."""
    name = f"structure of enum {code} and {kind.name}"

    def from_data(found: Data) -> T:
        if isinstance(found, Structure) and len(found) == 2:
            label = found[0]
            if isinstance(label, FixedInteger) and label == code:
                return kind.from_data(found[1])
        raise KindError(name, describe(found))

    def to_data(value: T) -> Data:
        return Structure((Enum(code), kind.to_data(value)))

    parts = (_constant(code), kind)
    return Kind(name, to_data, from_data, shape=Shape.STRUCTURE, parts=parts)


def _constant(code: int) -> Kind[int]:
    def from_data(found: Data) -> int:
        if not isinstance(found, FixedInteger) or found != code:
            raise KindError(f"enum {code}", describe(found))
        return code

    return Kind(f"enum {code}", lambda _value: Enum(code), from_data, size=code)


def untyped(of: type[Array | Structure | CompactArray]) -> Kind[Data]:
    """Return the kind of an array, structure or compact-array whose content is not declared."""
    name = f"{_OUTER[of]} of undeclared content"

    def same(found: Data) -> Data:
        if not isinstance(found, of):
            raise KindError(name, describe(found))
        return found

    return Kind(name, same, same, is_choice=True)


_OUTER: Final = {Array: "array", Structure: "structure", CompactArray: "compact-array"}


def _same(found: Data) -> Data:
    return found


def _text(of: type[V], name: str) -> Kind[str]:
    def from_data(found: Data) -> str:
        if not isinstance(found, of):
            raise KindError(name, describe(found))
        return str(found)

    def to_data(value: str) -> Data:
        return of(value)

    return Kind(name, to_data, from_data)


RAW: Final[Kind[Data]] = Kind("data of undeclared type", _same, _same, is_choice=True)
"""An attribute that is known by name only; its value keeps the type it came with."""

VISIBLE_STRING: Final = _text(VisibleString, "visible-string")
UTF8_STRING: Final = _text(Utf8String, "utf8-string")
