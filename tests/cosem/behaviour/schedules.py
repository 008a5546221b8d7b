# SPDX-License-Identifier: Apache-2.0
"""A script table that writes down what ran, for tests of schedules."""

from cosem.behaviour.life import World
from openami.cosem.behaviour.localtime import Zone
from openami.cosem.classes.measurement import Data
from openami.cosem.classes.tariff import ActionSpecification, Script, ScriptTable
from openami.cosem.classes.time_event import ScheduledScript
from openami.cosem.model import InterfaceClass
from openami.dlms.data import Data as AxdrData
from openami.dlms.data import LongUnsigned
from openami.dlms.obis import Obis

TABLE = Obis(0, 0, 10, 0, 100, 255)
NOTED = Obis(0, 0, 96, 50, 0, 255)


def script(number: int) -> ScheduledScript:
    return ScheduledScript(TABLE, number)


class Noted:
    """Objects whose scripts 1 to 9 note their number and the local time."""

    def __init__(self) -> None:
        self.ran: list[tuple[int, str]] = []
        self._world: World | None = None
        note = Data(NOTED, value=LongUnsigned(0))
        note.bind(Data.value, lambda: LongUnsigned(0), self._note)
        steps = [
            Script(number, (ActionSpecification(1, 1, NOTED, 2, LongUnsigned(number)),))
            for number in range(1, 10)
        ]
        self.objects: list[InterfaceClass] = [note, ScriptTable(TABLE, scripts=tuple(steps))]

    def world(self, *objects: InterfaceClass, zone: Zone, now_us: int) -> World:
        """Return a world with these objects too."""
        self._world = World([*self.objects, *objects], zone=zone, now_us=now_us)
        return self._world

    def _note(self, value: AxdrData) -> None:
        assert self._world is not None
        assert isinstance(value, int)
        local = self._world.life.zone().local(self._world.calendar.at_us)
        self.ran.append((int(value), local.isoformat(timespec="minutes")))

    def taken(self) -> list[tuple[int, str]]:
        """Return what ran since the last call."""
        ran, self.ran = self.ran, []
        return ran
