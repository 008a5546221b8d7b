# SPDX-License-Identifier: Apache-2.0
"""Who carries out which order: the companion profile of the meter says where its objects are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from openami.cosem.classes.disconnect import ControlState
from openami.dlms.obis import Obis
from openami.exchange.commands import CommandKind, CommandState
from openami.headend.alarm_conduct import AlarmConduct
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.clock_conduct import ClockConduct
from openami.headend.clocks import ClockBook
from openami.headend.conduct import (
    Conduct,
    Json,
    NotAllowedError,
    Outcome,
    Supply,
    limit_of,
    parameters_of,
    tariff_of,
)
from openami.headend.directory import Directory
from openami.headend.orders import (
    AlarmsOrder,
    BundleOrder,
    ClockOrder,
    LimitOrder,
    NoOrder,
    Order,
    ParametersOrder,
)
from openami.headend.reading import REGISTERS, read_registers
from openami.headend.tariff_file import TariffOrder
from openami.headend.watch import NAMES, store_live
from openami.store import registry

THRESHOLD_NORMAL = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """Registers are read; nothing is sent that could be in doubt."""

    books: Books
    now_us: Callable[[], int]
    changes = False

    async def before(self, session: MeterSession) -> Json:
        del session
        return {}

    async def send(self, session: MeterSession) -> None:
        del session

    async def prove(self, session: MeterSession, before: Json | None) -> Outcome:
        del before
        values = await read_registers(session, REGISTERS)
        meter_id, now_us = session.meter.meter_id, self.now_us()
        await self.books.run(store_live, self.books.engine, meter_id, dict(values), now_us)
        result: Json = {NAMES[channel]: value for channel, value in values.items()}
        return Outcome(CommandState.CONFIRMED, "registers read", result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conductor:
    """Makes conducts.

    Attributes:
        books: The store.
        directory: The meters.
        now_us: The calendar.
        clock_most_s: How far off a clock may be that is set without force.
        clocks: Keeps what is measured of clocks.
    """

    books: Books
    directory: Directory
    now_us: Callable[[], int]
    clock_most_s: float
    clocks: ClockBook

    async def of(  # noqa: C901, PLR0911  one case an order
        self, kind: CommandKind, order: Order, session: MeterSession, asked_by: str
    ) -> Conduct:
        """Return who carries out an order at the meter of a session.

        Raises:
            NotAllowedError: The meter has no such object, as far as its companion profile says.
            AccessError: It does not let us read what has to be known.
        """
        meter = session.meter

        def find(name: str) -> Obis:
            companion = self.directory.companion(meter)
            if name not in companion.objects:
                sentence = f"companion profile {companion.name!r} has no {name} of such meters"
                raise NotAllowedError(f"{sentence}: write it there")
            return companion.objects[name]

        match order:
            case NoOrder():
                if kind is CommandKind.READ:
                    return Reading(self.books, self.now_us)
                return Supply(kind, self._supply_found)
            case LimitOrder():
                at = find("limiter")
                held = await session.run(session.client.get_data(71, at, THRESHOLD_NORMAL))
                return limit_of(order, at, held)
            case TariffOrder():
                return tariff_of(order, find)
            case ClockOrder():
                return ClockConduct(
                    order=order,
                    at=find("clock"),
                    now_us=self.now_us,
                    most_s=self.clock_most_s,
                    period_s=meter.capture_period_s,
                    measured=self.clocks.record,
                )
            case AlarmsOrder():
                return AlarmConduct(
                    order=order,
                    companion=self.directory.companion(meter),
                    books=self.books,
                    now_us=self.now_us,
                    asked_by=asked_by,
                )
            case ParametersOrder():
                return parameters_of(order)
            case BundleOrder():
                raise NotAllowedError("a bundle holds no bundle: name its items in one list")
        assert_never(order)

    async def _supply_found(self, session: MeterSession, state: ControlState) -> None:
        meter_id, now_us = session.meter.meter_id, self.now_us()
        await self.books.write(
            meter_id, lambda connection: registry.set_breaker(connection, meter_id, state, now_us)
        )
