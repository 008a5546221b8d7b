# SPDX-License-Identifier: Apache-2.0
"""Rows of objects as requests name them: nine octets for the meter, words for people."""

from functools import lru_cache
from typing import Any, TypeAlias

from openami.cosem.model import Attribute, Method
from openami.dlms.obis import Obis

Row: TypeAlias = Attribute[Any] | Method[Any, Any]


def name_of(class_id: int, at: Obis, index: int, kind: str = "attribute") -> str:
    """Return the words for a row of an object that no class declares."""
    return f"{kind} {index} of {at} (class {class_id})"


def descriptor_of(class_id: int, at: Obis, index: int) -> bytes:
    """Return the nine octets of an attribute descriptor."""
    return class_id.to_bytes(2) + bytes(at) + bytes((index & 0xFF,))


@lru_cache(maxsize=4096)
def row_descriptor(attribute: Attribute[Any], at: Obis) -> bytes:
    """Return the descriptor of a row; the same rows are read again and again."""
    return descriptor_of(attribute.owner.class_id, at, attribute.index)


def place_of(descriptor: bytes) -> tuple[int, Obis, int]:
    """Return class, logical name and index of a descriptor."""
    index = int.from_bytes(descriptor[8:], signed=True)
    return int.from_bytes(descriptor[:2]), Obis(*descriptor[2:8]), index


def row_name(row: Row, at: Obis) -> str:
    """Return the words for a row that a class declares."""
    kind = "attribute" if isinstance(row, Attribute) else "method"
    owner = row.owner
    return f"{owner.__name__}.{row.name} of {at} (class {owner.class_id}, {kind} {row.index})"
