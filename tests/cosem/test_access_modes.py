# SPDX-License-Identifier: Apache-2.0
"""Access modes as versions 0 to 2 of the association write them, and as version 3 does."""

import pytest

from openami.cosem.access_modes import (
    access_of,
    demand_of_attribute,
    demand_of_method,
    invokes,
    is_sound,
)
from openami.cosem.dump import Dump, DumpedAttribute, DumpedMethod, DumpedObject
from openami.cosem.model import Access
from openami.cosem.simulation import grants
from openami.dlms.obis import Obis
from openami.dlms.security.suites import NO_PROTECTION, SecurityPolicy

NONE, READ, WRITE, BOTH = Access.NONE, Access.READ, Access.WRITE, Access.READ_WRITE
AUTHENTICATED = SecurityPolicy.AUTHENTICATED_REQUEST
SIGNED_BOTH = (
    SecurityPolicy.DIGITALLY_SIGNED_REQUEST
    | SecurityPolicy.AUTHENTICATED_RESPONSE
    | SecurityPolicy.DIGITALLY_SIGNED_RESPONSE
)


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize(
    ("mode", "access", "demand"),
    [
        (0, NONE, NO_PROTECTION),
        (1, READ, NO_PROTECTION),
        (2, WRITE, NO_PROTECTION),
        (3, BOTH, NO_PROTECTION),
        (4, READ, AUTHENTICATED),
        (5, WRITE, AUTHENTICATED),
        (6, BOTH, AUTHENTICATED),
        (7, BOTH, NO_PROTECTION),
    ],
)
def test_codes_of_attributes(
    version: int, mode: int, access: Access, demand: SecurityPolicy
) -> None:
    assert (access_of(mode, version), demand_of_attribute(mode, version)) == (access, demand)


@pytest.mark.parametrize(
    ("mode", "access", "demand"),
    [
        (0b0000_0101, READ, AUTHENTICATED),
        (0b0000_0110, WRITE, AUTHENTICATED),
        (0b0000_0100, NONE, AUTHENTICATED),
        (0b1011_0011, BOTH, SIGNED_BOTH),
    ],
)
def test_bits_of_attributes(mode: int, access: Access, demand: SecurityPolicy) -> None:
    assert (access_of(mode, 3), demand_of_attribute(mode, 3)) == (access, demand)


@pytest.mark.parametrize(
    ("mode", "version", "is_invoked", "demand"),
    [
        (0, 1, False, NO_PROTECTION),
        (1, 1, True, NO_PROTECTION),
        (2, 1, True, AUTHENTICATED),
        (3, 1, False, NO_PROTECTION),
        (1, 3, True, NO_PROTECTION),
        (2, 3, False, NO_PROTECTION),
        (0b1011_0001, 3, True, SIGNED_BOTH),
    ],
)
def test_methods(mode: int, version: int, *, is_invoked: bool, demand: SecurityPolicy) -> None:
    assert (invokes(mode, version), demand_of_method(mode, version)) == (is_invoked, demand)


def test_a_code_that_does_not_exist_grants_nothing() -> None:
    assert [mode for mode in range(10) if not is_sound(mode, 2)] == [7, 8, 9]
    assert all(is_sound(mode, 3) for mode in range(0x100))


@pytest.mark.parametrize("version", [1, 3])
def test_a_simulated_meter_asks_for_the_protection_of_its_object_list(version: int) -> None:
    modes = {1: (1, 6, 2), 3: (0b01, 0b111, 0b101)}[version]
    switch = DumpedObject(
        class_id=70,
        version=0,
        obis=Obis(0, 0, 96, 3, 10, 255),
        attributes=(
            DumpedAttribute(index=1, mode=modes[0]),
            DumpedAttribute(index=4, mode=modes[1]),
        ),
        methods=(DumpedMethod(index=1, mode=modes[2]),),
    )
    dump = Dump(
        client=1, server=1, mechanism="gmac", association_version=version, objects=(switch,)
    )

    asked = [
        (set(each.read), set(each.write), set(each.invoke))
        for each in grants(dump)
        if each.protection == AUTHENTICATED
    ]

    assert asked == [({4}, {4}, set()), (set(), set(), {1})]
