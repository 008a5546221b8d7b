# SPDX-License-Identifier: Apache-2.0
"""From a row of a shipment to an operating meter, stage by stage (`store.commissioning`).

Every stage looks first and changes only what is not as it should be, so it may be cut anywhere and
done again.  A meter that is away is tried later; one that is not what it should be, or refuses, is
held with the reason until somebody asks again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

from openami.cosem.classes.measurement import Data, ProfileGeneric
from openami.cosem.classes.push import PushSetup
from openami.cosem.classes.time_event import Clock
from openami.cosem.refusals import AccessError
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.config import WorklistSettings
from openami.headend.directory import Directory
from openami.headend.holdings import Holdings
from openami.headend.reading import REGISTERS, read_registers
from openami.headend.sessions import Sessions, Urgency
from openami.headend.worklist import Sort, Trying, Worklist
from openami.runtime.clock import MICROSECONDS, from_us, to_us
from openami.runtime.errors import UserError
from openami.store import commissioning as store
from openami.store import key_changes, keys, registry
from openami.store.commissioning import Commissioning, Stage
from openami.store.key_changes import ChangeState
from openami.store.keys import KeyEpoch, KeyState
from openami.store.leases import Lease

log = logging.getLogger(__name__)

KEY_NAMES: Final = ("guek", "gak", "kek")


class HeldError(UserError):
    """The meter is not as it should be: a person has to look."""


class Commissionings:
    """Brings meters into operation.

    Attributes:
        work: Those under way.
    """

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        settings: WorklistSettings,
        books: Books,
        directory: Directory,
        sessions: Sessions[MeterSession],
        read: Callable[[MeterSession], Awaitable[None]],
        now_us: Callable[[], int],
        holdings: Holdings,
    ) -> None:
        """Bind the ports.

        Args:
            settings: How many at once.
            books: The store.
            directory: The meters.
            sessions: Speak with them.
            read: Reads a meter in full, as the schedule does.
            now_us: The calendar.
            holdings: Keeps the leases.
        """
        self._books = books
        self._directory = directory
        self._sessions = sessions
        self._read = read
        self._now_us = now_us
        self._look_s = settings.look_s
        self._stages: Mapping[Stage, Callable[[MeterSession], Awaitable[str]]] = {
            Stage.IDENTITY: self._identity,
            Stage.CLOCK: self._clock,
            Stage.PROFILE: self._profile,
            Stage.PUSH: self._push,
            Stage.FIRST_READ: self._first_read,
        }
        self._settings = settings
        self.work: Worklist[Commissioning] = Worklist(
            "commissioning",
            [Sort(store.claim, self._try)],
            books,
            holdings,
            parallel=settings.parallel,
            look_s=settings.look_s,
        )

    async def _try(self, row: Commissioning, lease: Lease) -> None:
        postpone = partial(store.postpone, self._books.engine, row.meter_id, lease=lease)
        what = f"commissioning of meter {row.meter_id}"
        trying = Trying(what, self._settings, row.attempts, postpone)
        await trying.run(self._books, lambda: self._go_on(row))

    async def _go_on(self, row: Commissioning) -> None:
        """Pass one stage after another."""
        stage = row.stage
        while stage is not Stage.OPERATING:
            try:
                note = await self._pass(row, stage)
            except HeldError as error:
                await self._books.run(
                    store.hold, self._books.engine, row.meter_id, stage, str(error)
                )
                log.warning("meter %d is held at %s: %s", row.meter_id, stage.value, error)
                return
            if not await self._books.run(
                store.advance, self._books.engine, row.meter_id, stage, note
            ):
                return  # another worker went on
            log.info("meter %d has passed %s: %s", row.meter_id, stage.value, note)
            stage = store.NEXT[stage]

    async def _pass(self, row: Commissioning, stage: Stage) -> str:
        if stage is Stage.KEYS:
            return await self._keys(row)

        async def job(session: MeterSession) -> str:
            try:
                return await self._stages[stage](session)
            except AccessError as refusal:
                raise HeldError(f"the meter refuses: {refusal}") from refusal

        note = await self._sessions.run(row.meter_id, Urgency.BACKFILL, job)
        if stage is Stage.IDENTITY and row.certificate:
            note += f"; device certificate {row.certificate[:16]}…"
        return note

    async def _identity(self, session: MeterSession) -> str:
        """The association has proven the shipped keys and the system title; the names remain."""
        meter = session.meter
        name = await self._data(session, "logical_device_name")
        if name != meter.ldn:
            raise HeldError(f"its logical device name is {name!r}, the shipment says {meter.ldn!r}")
        objects = self._directory.companion(meter).objects
        serial = ""
        if "serial_number" in objects:
            serial = f", serial number {await self._data(session, 'serial_number')}"
        title = meter.title.hex().upper()
        return f"system title {title} proven under key epoch {session.epoch}, {name}{serial}"

    async def _keys(self, row: Commissioning) -> str:
        """Replace the factory's keys, the master key among them, unless that is done."""
        engine, meter_id = self._books.engine, row.meter_id
        while True:
            known = await self._books.run(keys.epochs, engine, meter_id)
            active = next((each for each in known if each.state is KeyState.ACTIVE), None)
            if active is not None and _replaced(known[-1], active):
                return f"key epoch {active.epoch} holds, the factory's keys are retired"
            last = await self._books.run(key_changes.last, engine, meter_id)
            if last is None or last.asked_real_us < row.asked_real_us:
                await self._books.run(
                    key_changes.ask,
                    engine,
                    [meter_id],
                    asked_by=row.asked_by,
                    reason=f"commissioning: {row.reason}",
                    key_names=KEY_NAMES,
                )
            elif last.state in {ChangeState.REFUSED, ChangeState.WITHDRAWN}:
                raise HeldError(f"its keys stay the factory's: {last.note}")
            await asyncio.sleep(self._look_s)

    async def _clock(self, session: MeterSession) -> str:
        companion = self._directory.companion(session.meter)
        at = self._object(session, "clock")
        wrong_s = await self._clock_error_s(session, at)
        if abs(wrong_s) <= companion.clock_limit_s:
            return f"its clock is {wrong_s:+.0f} s off"
        if not companion.clock_settable:
            raise HeldError(f"its clock is {wrong_s:+.0f} s off and is not set from here")
        time = CosemDateTime.from_utc(from_us(self._now_us()))
        await session.run(session.client.set(Clock.time, time, at=at))
        now_s = await self._clock_error_s(session, at)
        if abs(now_s) > companion.clock_limit_s:
            raise HeldError(f"its clock was {wrong_s:+.0f} s off, and is {now_s:+.0f} s once set")
        return f"its clock was {wrong_s:+.0f} s off and is set"

    async def _clock_error_s(self, session: MeterSession, at: Obis) -> float:
        time = await session.run(session.client.get(Clock.time, at=at))
        try:
            told_us = to_us(time.to_utc())
        except ValueError as error:
            raise HeldError(f"its clock tells no time ({error})") from error
        return (told_us - self._now_us()) / MICROSECONDS

    async def _profile(self, session: MeterSession) -> str:
        at, wanted_s = self._object(session, "load_profile"), session.meter.capture_period_s
        columns = await session.run(session.client.get(ProfileGeneric.capture_objects, at=at))
        clock = self._object(session, "clock")
        if clock not in {column.instance_id for column in columns}:
            raise HeldError(f"its load profile {at} does not record the clock")
        period_s = await session.run(session.client.get(ProfileGeneric.capture_period, at=at))
        said = f"{len(columns)} columns every {wanted_s} s"
        if period_s == wanted_s:
            return said
        await session.run(session.client.set(ProfileGeneric.capture_period, wanted_s, at=at))
        return f"{said}; it was every {period_s} s"

    async def _push(self, session: MeterSession) -> str:
        objects = self._directory.companion(session.meter).objects
        if "push_setup" not in objects:
            return "meters of its kind push no intervals"
        pushed = await session.run(
            session.client.get(PushSetup.push_object_list, at=objects["push_setup"])
        )
        if self._object(session, "load_profile") not in {each.instance_id for each in pushed}:
            raise HeldError(
                f"its push setup {objects['push_setup']} does not push the load profile"
            )
        return f"{len(pushed)} objects are pushed"

    async def _first_read(self, session: MeterSession) -> str:
        await self._read(session)
        values = await read_registers(session, REGISTERS)
        meter = await self._books.run(registry.meter, self._books.engine, session.meter.meter_id)
        if not values or meter.profile_read_us is None:
            raise HeldError("it tells neither registers nor its load profile")
        until = from_us(meter.profile_read_us).isoformat(timespec="seconds")
        return f"{len(values)} registers, load profile and event log until {until}"

    async def _data(self, session: MeterSession, name: str) -> str:
        """Read a text that an object of class 1 holds."""
        at = self._object(session, name)
        value = await session.run(session.client.get(Data.value, at=at))
        if isinstance(value, (bytes, bytearray)):
            return bytes(value).decode("ascii", errors="replace")
        return str(value)

    def _object(self, session: MeterSession, name: str) -> Obis:
        companion = self._directory.companion(session.meter)
        if name not in companion.objects:
            sentence = f"companion profile {companion.name!r} has no {name} of such meters"
            raise HeldError(f"{sentence}: write it there")
        return companion.objects[name]


def _replaced(shipped: KeyEpoch, active: KeyEpoch) -> bool:
    """Tell whether no key of the shipment is in use any more; a key has one wrapping only."""
    return active.master_key != shipped.master_key and all(
        active.wrapped[name] != shipped.wrapped[name] for name in ("guek", "gak")
    )
