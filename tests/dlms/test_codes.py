# SPDX-License-Identifier: Apache-2.0
"""The numbers of the protocol are those of `vectors/dlms/codes.toml`."""

import tomllib
from enum import Enum
from pathlib import Path
from typing import Any, Final

import pytest

from openami.cosem.literals import type_name
from openami.dlms import data
from openami.dlms.apdu import acse, codes, faults, registry
from openami.dlms.apdu.ciphered import SERVICE_TAGS
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.invocation import InvokeIdAndPriority, LongInvokeIdAndPriority
from openami.dlms.data import DateOctets, DateTimeOctets, TimeOctets
from openami.dlms.datetimes import ClockStatus
from openami.dlms.errors import SecurityError
from openami.dlms.hls import Mechanism
from openami.dlms.security.agreement import Algorithm
from openami.dlms.security.suites import SecurityControl, SecurityPolicy

LIST: Final = tomllib.loads(
    (Path(__file__).parents[1] / "vectors" / "dlms" / "codes.toml").read_text(encoding="utf-8")
)
NAMED: Final[dict[str, Any]] = {
    **vars(codes),
    **vars(faults),
    **vars(acse),
    "Mechanism": Mechanism,
}
TYPES: Final = (
    *data.INTEGER_TYPES,
    data.Float32,
    data.Float64,
    data.OctetString,
    data.VisibleString,
    data.Utf8String,
    data.BitString,
    data.Array,
    data.Structure,
    data.CompactArray,
    DateTimeOctets,
    DateOctets,
    TimeOctets,
)


def members(of: Any) -> dict[str, int]:
    return {each.name.lower(): int(each) for each in of if not each.name.startswith("RESERVED")}


def bits_of(of: Any, *names: str) -> dict[str, int]:
    """Return which single bit makes each property true."""
    return {
        name: bit
        for name in names
        for bit in range(32)
        if not (of is not LongInvokeIdAndPriority and bit > 7) and name_is_set(of, bit, name)
    }


def name_is_set(of: Any, bit: int, name: str) -> bool:
    try:
        return bool(getattr(of(1 << bit), name))
    except SecurityError:  # a suite that does not exist, or compression
        return False


def test_every_apdu_has_its_tag_and_choice() -> None:
    found = {}
    for kind in registry.classes():
        tag, choice = vars(kind)["TAG"], vars(kind).get("CHOICE")
        found[kind.__name__] = f"{tag:02X}" if choice is None else f"{tag:02X} {choice:02X}"

    assert found == LIST["apdu"]


def test_every_service_has_its_ciphered_tags() -> None:
    ciphered = LIST["ciphered"]
    wanted = {
        (tag := int(each, 16)): (tag + 0x20, tag + 0x40) for each in ciphered["with_plus_20_and_40"]
    }
    glo = dict(bytes.fromhex(each) for each in ciphered["with_glo"])
    ded = dict(bytes.fromhex(each) for each in ciphered["with_ded"])
    wanted |= {plain: (glo[plain], ded[plain]) for plain in glo}

    assert {row.plain: (row.glo, row.ded) for row in SERVICE_TAGS} == wanted


def test_every_type_has_its_tag() -> None:
    assert {type_name(kind): kind.TAG for kind in TYPES} == LIST["data"]
    assert (data.encode(None), data.encode(True), data.encode(data.DONT_CARE)) == (  # noqa: FBT003
        b"\x00",
        b"\x03\x01",
        b"\xff",
    )


def test_every_conformance_bit_has_its_place() -> None:
    assert {
        each.name.lower(): 23 - (int(each).bit_length() - 1) for each in Conformance if each.name
    } == LIST["conformance"]


@pytest.mark.parametrize("name", sorted(LIST["codes"]))
def test_every_code_has_its_number(name: str) -> None:
    assert members(NAMED[name]) == LIST["codes"][name]


@pytest.mark.parametrize("category", sorted(LIST["service_error"]))
def test_every_service_error_has_its_name(category: str) -> None:
    names = LIST["service_error"][category]
    found = [
        faults.ConfirmedServiceError.decode(bytes((0x0E, 0x01, int(category), number))).name
        for number in range(len(names) + 1)
    ]
    assert found == [*names, f"reserved-{len(names)}"]


def test_every_object_identifier() -> None:
    names = LIST["names"]
    for kind in (acse.ApplicationContextName, Algorithm):
        for each in kind:
            assert oid(each) == names[each.name]
    for mechanism in Mechanism:
        assert mechanism.oid.hex() == f"{names['mechanism']}{mechanism:02x}"


def oid(name: Enum) -> str:
    value: bytes = name.value
    return value.hex()


def test_every_bit_has_its_place() -> None:
    bits = LIST["bits"]
    assert bits["invoke_id_and_priority"] == bits_of(
        InvokeIdAndPriority, "confirmed", "high_priority"
    )
    assert bits["long_invoke_id_and_priority"] == bits_of(
        LongInvokeIdAndPriority,
        "self_descriptive",
        "break_on_error",
        "confirmed",
        "high_priority",
    )
    assert bits["security_control"] == bits_of(
        SecurityControl, "authenticated", "encrypted", "broadcast"
    )
    for name, flags in (("security_policy", SecurityPolicy), ("clock_status", ClockStatus)):
        assert bits[name] == {str(each.name).lower(): int(each).bit_length() - 1 for each in flags}
