# SPDX-License-Identifier: Apache-2.0
"""Short names: where rows stand, and how a device's objects get their base names."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cosem.classes.access_control import SapAssignment, SecuritySetup, SecuritySetupV1
from openami.cosem.classes.associations import (
    SHORT_NAME,
    AssociationSn,
    AssociationSnV4,
    ShortNameElement,
)
from openami.cosem.classes.chapters import CHAPTERS
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register
from openami.cosem.classes.push import PushSetup, PushSetupV1
from openami.cosem.classes.time_event import Clock
from openami.cosem.device import AssociationPolicy, LogicalDevice
from openami.cosem.kinds import KindError
from openami.cosem.model import REGISTRY, InterfaceClass
from openami.cosem.serving.short_names import (
    CURRENT_ASSOCIATION_NAME,
    RESERVED_NAMES,
    Offsets,
    ShortNames,
)
from openami.dlms.data import Integer, Long, LongUnsigned, OctetString
from openami.dlms.obis import Obis

assert CHAPTERS, "importing them declares every class"
OURS = sorted(key for key, table in REGISTRY.items() if table.__module__.startswith("openami."))
every_class = pytest.mark.parametrize("key", OURS, ids=lambda key: f"{key[0]} v{key[1]}")

ENERGY, POWER = Obis.parse("1.0.1.8.0.255"), Obis.parse("1.0.1.7.0.255")
LDN = Obis.parse("0.0.42.0.0.255")


@every_class
def test_every_row_with_a_known_offset_has_a_place_of_its_own(key: tuple[int, int]) -> None:
    table = REGISTRY[key]
    offsets = Offsets()
    rows = offsets.rows(table)
    all_rows: list[Any] = [*table.attributes(), *table.methods()]

    found = {offsets.of(row): row for row in all_rows if offsets.of(row) is not None}
    assert found == rows, "no two rows at one place"
    assert set(table.attributes()) <= set(rows.values())
    assert set(rows.values()) == set(all_rows) or table.methods_at is None
    assert offsets.size(table) % 8 == 0
    assert max(rows) < offsets.size(table)


@every_class
def test_objects_of_every_class_stand_side_by_side(key: tuple[int, int]) -> None:
    names = ShortNames()
    table = REGISTRY[key]
    objects = [table(Obis(1, 0, 96, 99, number, 255)) for number in range(3)]
    names.take(objects)

    bases = [names.base_name(thing.values[1]) for thing in objects]
    size = names.offsets.size(table)
    assert bases == [0x0100, 0x0100 + size, 0x0100 + 2 * size]
    for base, thing in zip(bases, objects, strict=True):
        assert names.holder(base) == names.holder(base + size - 1) == (base, thing)
    assert names.holder(0x00FF) is None


def test_a_row_stands_where_the_version_of_the_object_says() -> None:
    offsets = Offsets()
    transfer = SecuritySetup.key_transfer

    assert offsets.of(transfer) == 0x30
    assert offsets.of(transfer, SecuritySetupV1) == offsets.of(SecuritySetupV1.key_transfer) == 0x38
    assert offsets.of(AssociationSn.reply_to_hls_authentication) == 0x58
    assert offsets.of(AssociationSnV4.reply_to_hls_authentication) == 0x58
    assert offsets.of(AssociationSnV4.read_by_logicalname) == 0x30
    assert offsets.of(SecuritySetupV1.certificates, SecuritySetup) == 0x28


def test_an_offset_that_the_class_leaves_open_may_be_told() -> None:
    assert Offsets().of(PushSetupV1.push) is None
    assert Offsets().of(PushSetup.push) == 0x38
    told = Offsets({(40, 1): 0x70})
    assert told.of(PushSetupV1.push) == 0x70
    assert told.rows(PushSetupV1)[0x70] is PushSetupV1.push
    assert told.size(PushSetupV1) == 0x78
    assert Offsets().size(PushSetupV1) == 0x50


def test_reserved_and_given_names_come_first() -> None:
    names = ShortNames({POWER: 0x0100})
    names.take(
        [
            Register(ENERGY),
            Register(POWER),
            SapAssignment(Obis.parse("0.0.41.0.0.255")),
            Data(LDN, value=OctetString(b"")),
        ]
    )

    assert names.base_name(POWER) == 0x0100
    assert names.base_name(ENERGY) == 0x0130
    assert names.base_name(LDN) == RESERVED_NAMES[LDN] == 0xFD00
    assert names.base_name(Obis.parse("0.0.41.0.0.255")) == 0xFC00
    with pytest.raises(KeyError):
        names.base_name(Obis.parse("0.0.1.0.0.255"))


def test_names_stay_when_objects_are_added() -> None:
    names = ShortNames()
    objects: list[InterfaceClass] = [Register(ENERGY), Register(POWER)]
    names.take(objects)
    before = [names.base_name(thing.values[1]) for thing in objects]
    objects.insert(0, Clock(Obis.parse("0.0.1.0.0.255")))
    names.take(objects)

    assert [names.base_name(thing.values[1]) for thing in objects[1:]] == before
    assert names.base_name(Obis.parse("0.0.1.0.0.255")) == before[-1] + 0x30


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({ENERGY: 0x0101}, "short name 101 of 1.0.1.8.0.255 is not one of 0, 8, 10 to FFF8"),
        ({ENERGY: 0x10000}, "is not one of"),
        ({ENERGY: 0xFFF8}, "end behind FFFF"),
        ({ENERGY: 0xF9F8}, "meet the reserved FA00 to FDFF"),
        ({ENERGY: 0xFC00}, "meet the reserved"),
        ({ENERGY: 0x0100, POWER: 0x0128}, "meet those of <Register"),
        ({ENERGY: 0x0128, POWER: 0x0100}, "meet those of <Register"),
        ({ENERGY: 0x0100, POWER: 0x0100}, "meet those of <Register"),
    ],
)
def test_names_that_cannot_be_given(given: dict[Obis, int], why: str) -> None:
    names = ShortNames(given)
    with pytest.raises(ValueError, match=why):
        names.take([Register(ENERGY), Register(POWER)])


def test_a_device_names_its_objects_when_it_is_built() -> None:
    def device(names: ShortNames) -> LogicalDevice:
        policy = AssociationPolicy(client_sap=16, short_names=names)
        return LogicalDevice(objects=[Register(ENERGY), Register(POWER)], associations=[policy])

    names = ShortNames({POWER: 0x0100})
    device(names)
    assert names.base_name(ENERGY) == 0x0130
    with pytest.raises(ValueError, match="is not one of"):
        device(ShortNames({POWER: 0x0101}))


def test_a_device_with_too_many_objects() -> None:
    names = ShortNames(first=0xF900)
    with pytest.raises(ValueError, match="no place for more short names below FA00: begin lower"):
        names.take(ProfileGeneric(Obis(1, 0, 99, 1, number, 255)) for number in range(3))


def test_association_sn_has_five_versions() -> None:
    assert ShortNames(version=0).version == 0
    with pytest.raises(ValueError, match="versions 0 to 4, not 5"):
        ShortNames(version=5)


@given(st.integers(0, 0xFFFF))
def test_a_short_name_travels_as_long(name: int) -> None:
    sent = SHORT_NAME.to_data(name)
    assert isinstance(sent, Long)
    assert SHORT_NAME.from_data(sent) == name
    assert SHORT_NAME.from_data(LongUnsigned(name)) == name, "some meters send it so"


def test_what_is_no_short_name() -> None:
    with pytest.raises(KindError, match="Long"):
        SHORT_NAME.from_data(OctetString(b"\xfa\x00"))
    element = AssociationSnV4.object_list.kind.from_data(
        AssociationSnV4.object_list.kind.to_data(
            (ShortNameElement(CURRENT_ASSOCIATION_NAME, 12, 4, LDN),)
        )
    )
    assert element[0].base_name == 0xFA00
    assert SHORT_NAME.from_data(Integer(-1)) == 0xFFFF
