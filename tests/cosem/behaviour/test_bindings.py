# SPDX-License-Identifier: Apache-2.0
from typing import Any

from cosem.behaviour.life import BERLIN, Calendar, World, at
from openami.cosem.behaviour.bindings import BEHAVIOURS, Behaviour, bring_to_life
from openami.cosem.behaviour.host import Happened, Host, Life
from openami.cosem.behaviour.localtime import UTC_ZONE
from openami.cosem.classes.chapters import CHAPTERS
from openami.cosem.classes.measurement import Data
from openami.cosem.device import LogicalDevice
from openami.cosem.model import REGISTRY
from openami.dlms.data import Unsigned
from openami.dlms.obis import Obis

ONE, TWO = Obis(0, 0, 96, 1, 0, 255), Obis(0, 0, 96, 1, 1, 255)


class Counts:
    """Counts its ticks; keeps the number."""

    def __init__(self) -> None:
        self.ticks = 0

    def due_us(self) -> int | None:
        return 1

    def tick(self, now_us: int) -> None:
        del now_us
        self.ticks += 1

    def state(self) -> int:
        return self.ticks

    def restore(self, state: Any) -> None:
        self.ticks = state


def counting(_thing: Any, _life: Life) -> Counts:
    return Counts()


TABLE = {1: Behaviour(1, (0,), counting, needs=(2,))}


def lived(*objects: Data) -> tuple[Life, list[Happened]]:
    heard: list[Happened] = []
    host = Host(clock=Calendar(), entropy=bytes, report=heard.append)
    device = LogicalDevice(objects=objects, associations=())
    return bring_to_life(device, host, behaviours=TABLE), heard


def test_objects_act_and_their_state_outlives_a_restart() -> None:
    life, heard = lived(Data(ONE, value=Unsigned(1)), Data(TWO))
    assert life.actors.due_us() == 1
    life.actors.tick(5)
    state = life.state()
    assert state == {ONE: 1}
    assert heard == [Happened(TWO, "<Data 0.0.96.1.1.255> has no value for attribute 2: it rests")]

    again, _ = lived(Data(ONE, value=Unsigned(1)))
    again.restore({**state, TWO: 7})
    again.actors.tick(6)
    assert again.state() == {ONE: 2}


def test_every_row_names_declared_classes_and_their_attributes() -> None:
    assert CHAPTERS  # all classes are declared once their chapters are known
    for class_id, row in BEHAVIOURS.items():
        assert row.class_id == class_id
        for version in row.versions:
            known = {each.index for each in REGISTRY[class_id, version].attributes()}
            assert known.issuperset(row.needs)


LEFT = {(15, 0)}  # its access rights are of another kind than those a server works with


def test_no_version_of_a_class_that_acts_is_forgotten() -> None:
    named = {(row.class_id, version) for row in BEHAVIOURS.values() for version in row.versions}
    declared = {(of.class_id, of.version) for chapter in CHAPTERS for of in chapter.classes()}

    assert {key for key in declared if key[0] in BEHAVIOURS} == named | LEFT


def test_local_time_is_what_the_clock_object_says() -> None:
    assert World([]).life.zone() == UTC_ZONE
    world = World([], zone=BERLIN)
    assert world.life.zone() == BERLIN
    assert world.life.shown(at("2026-07-01T12:00")).hour == 14
