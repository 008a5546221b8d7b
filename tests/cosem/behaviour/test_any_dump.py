# SPDX-License-Identifier: Apache-2.0
"""Whatever a dump holds and a client sends, objects live on or refuse; nothing else is raised."""

import contextlib
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN, NOON, World
from kindvalues import data_of, sent
from openami.cosem.behaviour.bindings import BEHAVIOURS
from openami.cosem.behaviour.localtime import DAY_US, HOUR_US
from openami.cosem.classes import chapters
from openami.cosem.kinds import KindError
from openami.cosem.model import REGISTRY, InterfaceClass, Refused
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

CLASSES = [
    REGISTRY[number, version]
    for number, row in BEHAVIOURS.items()
    for version in row.versions
    if chapters.CHAPTERS  # all classes are declared once their chapters are known
]
CLOCK, OTHER = Obis(0, 0, 1, 0, 0, 255), Obis(1, 0, 99, 1, 0, 255)
MOMENTS = (NOON, NOON + HOUR_US, NOON - 3 * DAY_US, NOON + 40 * DAY_US)


def fresh(data: st.DataObject, of: type[InterfaceClass]) -> InterfaceClass:
    """Return an object as a dump may hold it: any values, some of them missing."""
    thing = of(CLOCK if of.class_id == 8 else OTHER)
    for row in of.attributes():
        if row.index > 1 and data.draw(st.integers(0, 9)):
            thing.values[row.index] = row.kind.from_data(data.draw(data_of(row.kind)))
    return thing


def attempt(action: Any) -> None:
    with contextlib.suppress(Refused, KindError, DecodeError):
        action()


@pytest.mark.parametrize("of", CLASSES, ids=[each.__name__ for each in CLASSES])
@settings(max_examples=12)
@given(data=st.data())
def test_life_goes_on(of: type[InterfaceClass], data: st.DataObject) -> None:
    thing = fresh(data, of)
    world = World([thing], zone=None if of.class_id == 8 else BERLIN)
    for now_us in MOMENTS:
        world.life.actors.due_us()
        world.tick(now_us)
    for row in of.methods():
        argument = sent(row.argument, data)
        attempt(lambda row=row, argument=argument: thing.invoke(row, argument))
    for row in of.attributes():
        value = sent(row.kind, data)
        if row.index > 1 and row.index in thing.values | dict(thing.sources):
            attempt(lambda row=row, value=value: thing.write(row, value))
    kept = world.life.state()
    world.life.restore(pickle.loads(pickle.dumps(kept)))
    for now_us in MOMENTS:
        world.life.actors.due_us()
        world.tick(now_us)
    for row in of.attributes():
        read = thing.reader(row.index)
        if read is not None:
            attempt(read)
