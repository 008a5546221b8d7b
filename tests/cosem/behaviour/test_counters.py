# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from cosem.behaviour.life import World
from openami.cosem.behaviour.counters import COUNTERS, Counters
from openami.cosem.classes.g3 import G3MacSetup, G3MacSetupV3, G3Neighbour, PosTableEntry
from openami.cosem.classes.prime import (
    PrimeLlcSscsSetup,
    PrimeMacNetworkAdministration,
    PrimePhyCounters,
)
from openami.cosem.classes.sfsk import MacCounter, SFskMacCounters
from openami.cosem.model import REGISTRY, InterfaceClass, Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import BitString, Structure
from openami.dlms.obis import Obis

NAME = Obis(0, 0, 26, 3, 0, 255)
CLASSES = [of for (class_id, _), of in sorted(REGISTRY.items()) if class_id in COUNTERS]


@pytest.mark.parametrize("declared", CLASSES, ids=lambda of: f"{of.class_id}v{of.version}")
def test_counters_count_and_are_set_back(declared: type[InterfaceClass]) -> None:
    thing = declared(NAME)
    world = World([thing])
    counters = world.life.acting[NAME]
    assert isinstance(counters, Counters)
    simple = [
        row
        for row in declared.attributes()
        if row.index in COUNTERS[declared.class_id] and thing.values[row.index] == 0
    ]
    assert simple
    for row in simple:
        counters.count(row.name)
        counters.count(row.name)
    before = dict(thing.values)
    for row in declared.attributes():
        if row.index in COUNTERS[declared.class_id]:
            assert thing.reader(row.index) is not None  # it can be encoded
    assert all(before[row.index] == 2 for row in simple)
    if 1 in thing.invocations:
        thing.invocations[1](0)
        assert all(thing.values[row.index] == 0 for row in simple)
    with pytest.raises(TypeError, match="has no counter"):
        counters.count("logical_name")


def test_a_full_counter_stands() -> None:
    thing = PrimePhyCounters(NAME, phy_stats_crc_fail_count=0xFFFF)
    Counters(thing).count("phy_stats_crc_fail_count")
    assert thing.phy_stats_crc_fail_count == 0xFFFF


def test_counters_of_nodes_and_of_causes() -> None:
    thing = SFskMacCounters(NAME)
    counters = Counters(thing)
    for node in (5, 6, 5):
        counters.count("synchronization_register", mac_address=node)
    counters.count("desynchronization_listing", member="not_addressed")
    assert thing.synchronization_register == (MacCounter(5, 2), MacCounter(6, 1))
    assert thing.desynchronization_listing.not_addressed == 1
    for wrong in ({"name": "synchronization_register"}, {"name": "desynchronization_listing"}):
        with pytest.raises(TypeError):
            counters.count(**wrong)
    thing.invocations[1](0)
    assert thing.synchronization_register == ()
    assert sum(thing.desynchronization_listing) == 0


def test_a_prime_node_is_deregistered_and_forgets_its_network() -> None:
    llc = PrimeLlcSscsSetup(NAME, service_node_address=7, base_node_address=9)
    lists = PrimeMacNetworkAdministration(Obis(0, 0, 28, 5, 0, 255), mac_list_switch_table=(1, 2))
    World([llc, lists])
    llc.invocations[1](0)
    assert (llc.service_node_address, llc.base_node_address) == (0xFFE, 0)
    lists.invocations[1](0)
    assert lists.mac_list_switch_table == lists.mac_list_phy_comm == ()


@pytest.mark.parametrize("declared", [G3MacSetup, G3MacSetupV3])
def test_entries_of_g3_tables(declared: Any) -> None:
    bits = BitString.from_bits("101")
    neighbour = G3Neighbour(17, True, bits, 1, -2, 0, bits, 60, -1, 5, 6)  # noqa: FBT003
    thing = declared(NAME, mac_neighbour_table=(neighbour,))
    World([thing])
    found = thing.invocations[1](17)
    assert isinstance(found, Structure)
    assert (found[0], found[7]) == (17, 60)
    with pytest.raises(Refused) as caught:
        thing.invocations[1](18)
    assert caught.value.result == ActionResult.OBJECT_UNDEFINED
    assert (2 in thing.invocations) is (declared is G3MacSetupV3)


def test_an_entry_of_the_pos_table() -> None:
    thing = G3MacSetupV3(NAME, mac_pos_table=(PosTableEntry(17, 60, 3),))
    World([thing])
    assert thing.invocations[2](17) == Structure((17, 60, 3))
    with pytest.raises(Refused):
        thing.invocations[1](17)
