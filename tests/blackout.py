# SPDX-License-Identifier: Apache-2.0
"""A street whose supply a test cuts, over a store: meters tell, others are asked, a bench sits."""

from collections.abc import Iterable

from sqlalchemy import Engine

from openami.exchange.events import EventCode
from openami.exchange.supply import PingState
from openami.headend.config import OutageSettings
from openami.headend.directory import Directory, Place
from openami.headend.judging import Bench
from openami.headend.noticed import Noticed, store_noticed
from openami.store import outage_members, outages, registry, supply, topology
from openami.store.accepted import Origin
from openami.store.database import transaction
from openami.store.outages import Outage
from openami.store.registry import Meter

S = 1_000_000
MINUTE = 60 * S
REAL0 = 1_800_000_000 * S
NORTH = b"OAMCONC1"


def meter(number: int) -> Meter:
    return Meter(
        meter_id=number,
        title=b"OAM" + number.to_bytes(5),
        ldn=f"OAM{number:013d}",
        region="north",
        concentrator=NORTH,
        installed_us=0,
        capture_period_s=1800,
    )


class Street:
    """Meters of a registry on transformers of four; time is the test's.

    Attributes:
        now_s: Since the beginning; calendar and real time go together here.
    """

    def __init__(self, engine: Engine, began_us: int, rules: OutageSettings | None = None) -> None:
        self.engine = engine
        self.began_us = began_us
        self.now_s = 0.0
        self._counter = 0
        places = {NORTH: Place("north", "north")}
        self.bench = Bench(rules or OutageSettings(), Directory(engine, bytes, places))

    @classmethod
    def of_new_meters(cls, engine: Engine, meters: int) -> "Street":
        """Enter meters: four to a transformer t1, t2 …, four transformers to a feeder f1 …"""
        registry.import_meters(engine, map(meter, range(1, meters + 1)))
        hang(engine, range(1, meters + 1))
        return cls(engine, REAL0)

    @property
    def now_us(self) -> int:
        return self.began_us + round(self.now_s * S)

    @property
    def now_real_us(self) -> int:
        return REAL0 + round(self.now_s * S)

    def tell(self, number: int, code: int, *, seconds: int = 0, at_s: float | None = None) -> None:
        """Let a notice of a meter arrive now, of an event at `at_s`."""
        self._counter += 1
        at_us = self.now_us if at_s is None else self.began_us + round(at_s * S)
        noticed = Noticed(
            meter_id=number,
            at_us=at_us // S * S,
            code=code,
            seconds=seconds,
            received_us=self.now_us,
            received_real_us=REAL0 + round(self.now_s * S),
        )
        origin = Origin(b"OAM" + number.to_bytes(5), 1, self._counter)
        with transaction(self.engine) as connection:
            store_noticed(connection, [(noticed, origin)], publish=True)

    def gasp(self, numbers: Iterable[int], at_s: float | None = None) -> None:
        for number in numbers:
            self.tell(number, EventCode.POWER_FAILURE, at_s=at_s)

    def back(self, numbers: Iterable[int], seconds: int) -> None:
        for number in numbers:
            self.tell(number, EventCode.POWER_RETURNED, seconds=seconds)

    def sit(self, after_s: float = 0.0) -> None:
        """Judge after some time, as the process does: twice, for what follows from the first."""
        self.now_s += after_s
        for _ in range(2):
            while self.sit_once():
                pass

    def sit_once(self) -> bool:
        """Judge one portion; tell whether there is more."""
        with transaction(self.engine) as connection:
            return self.bench.sit(connection, self.now_us, self.now_real_us).more

    def answer(self, lit: Iterable[int] = (), after_s: float = 0.5) -> list[int]:
        """Answer all that was asked: `lit` meters have power, the others are silent."""
        asked = supply.asked(self.engine)
        has_power = set(lit)
        for number in supply.claim(self.engine, asked, "test"):
            state = PingState.ANSWERED if number in has_power else PingState.SILENT
            supply.answer(self.engine, number, state, REAL0 + round(self.now_s * S))
        self.sit(after_s)
        return asked

    def open(self) -> dict[str, set[int]]:
        """Return what is open, and who is dark in it."""
        return {each.place: self.dark(each) for each in outages.open_outages(self.engine)}

    def dark(self, outage: Outage) -> set[int]:
        members = outage_members.members(self.engine, [outage.outage_id])[outage.outage_id]
        return {member.meter_id for member in members if member.returned_us is None}


def hang(engine: Engine, numbers: Iterable[int]) -> None:
    """Hang meters on transformers, four to each."""
    topology.put(
        engine,
        [
            topology.Place(
                meter_id=number,
                transformer=f"t{(number - 1) // 4 + 1}",
                feeder=f"f{(number - 1) // 16 + 1}",
            )
            for number in numbers
        ],
    )
