# SPDX-License-Identifier: Apache-2.0
"""Sealed requests: what concentrators read from meters while we are out of their reach.

For each meter a plan of load-profile reads is sealed in advance, each with an invocation counter of
its own, and handed to its concentrator, which can neither read nor change it.  The answers come
back through its journal and are opened like pushes.  Each read asks for the time since the one
before the last, so that one that is lost costs nothing.

A plan is made anew when it reaches less far than half, when the meter's keys have changed, when
our own counters have passed those that it holds (docs/decisions/0020), when the meter hangs on
another concentrator, and when the one that held it says that its plans are lost.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from openami.cosem.classes.measurement import ProfileGeneric
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.get import GetRequestNormal
from openami.dlms.apdu.selective import ByRange, CaptureObject
from openami.dlms.data import OctetString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.dlms.security.envelopes import GeneralTerms, seal_general
from openami.exchange.field import Notice, NoticeCode, Word
from openami.exchange.orders import UNCONFIRMED, Plan, SealedRequest, encode_plan
from openami.headend.associations import Associations, MeterSession
from openami.headend.config import CollectionSettings
from openami.headend.directory import Directory
from openami.headend.reading import LOAD_PROFILE
from openami.headend.sessions import Sessions, Urgency
from openami.headend.uplinks import Uplinks
from openami.runtime.clock import MICROSECONDS, from_us, real_us
from openami.runtime.errors import UserError
from openami.store.registry import Meter

log = logging.getLogger(__name__)

CLOCK: Final = Obis(0, 0, 1, 0, 0, 255)
RETRY_S: Final = 60.0  # real seconds before a meter that failed is tried again; doubled each time
RETRY_MOST_S: Final = 900.0
CONFIRMED_NORMAL: Final = 0xC1  # invoke-id and priority


@dataclass(frozen=True, slots=True)
class Handed:
    """The plan of a meter that its concentrator holds."""

    concentrator: bytes
    epoch: int
    first: int  # invocation counter
    last: int
    until_us: int  # real: its last request is due then


class Sealing:
    """Hands plans to concentrators.

    Attributes:
        plans: How many were handed over.
    """

    def __init__(  # noqa: PLR0913  the parts it binds
        self,
        settings: CollectionSettings,
        own_title: bytes,
        *,
        directory: Directory,
        uplinks: Uplinks,
        associations: Associations,
        sessions: Sessions[MeterSession],
        now_us: Callable[[], int],
        speed: Callable[[], float],
    ) -> None:
        """Bind the ports.

        Args:
            settings: How often, and how far ahead.
            own_title: The head-end's.
            directory: Meters and keys.
            uplinks: The ways to concentrators.
            associations: Know the counters that we use ourselves.
            sessions: Give the turns with meters.
            now_us: The calendar.
            speed: Calendar seconds a real second.
        """
        self.plans = 0
        self._settings = settings
        self._own_title = own_title
        self._directory = directory
        self._uplinks = uplinks
        self._associations = associations
        self._sessions = sessions
        self._now_us = now_us
        self._speed = speed
        self._handed: dict[int, Handed] = {}
        self._later_s: dict[int, float] = {}
        self._told: dict[bytes, int] = {}  # number of the last notice of a loss
        self._failures: Counter[int] = Counter()  # in a row
        self._under_way: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Keep plans fresh until cancelled."""
        if not self._settings.every_s:
            await asyncio.Event().wait()
        try:
            while True:
                self._look()
                await asyncio.sleep(self._settings.look_s)
        finally:
            for task in self._under_way.values():
                task.cancel()

    def answered(self, meter: Meter) -> None:
        """Learn that a sealed request was carried out: the meter takes lower counters no more."""
        handed = self._handed.pop(meter.meter_id, None)
        if handed is not None:
            self._associations.give_up_counters(meter.meter_id, handed.last)

    def heard(self, concentrator: bytes, word: Word) -> None:
        """Learn from a concentrator's notices that its plans are lost; each tells it once."""
        told = self._told.get(concentrator, 0)
        newest = max((n.number for n in _losses(word)), default=0)
        if newest > told:
            self._told[concentrator] = newest
            self._lost(concentrator)

    def _lost(self, concentrator: bytes) -> None:
        """Hand the plans of a concentrator over anew, from the next look on."""
        gone = [n for n, handed in self._handed.items() if handed.concentrator == concentrator]
        for meter_id in gone:
            del self._handed[meter_id]
        log.warning(
            "concentrator %s has lost the plans of %d meters: they are handed over anew",
            concentrator.hex().upper(),
            len(gone),
        )

    def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        for meter in self._directory.meters():
            if len(self._under_way) >= self._settings.parallel:
                return
            meter_id = meter.meter_id
            idle = meter_id not in self._under_way and self._later_s.get(meter_id, 0.0) <= now_s
            if idle and self._uplinks.has_route(meter.title) and self._is_stale(meter):
                task = asyncio.create_task(self._hand_over(meter))
                self._under_way[meter_id] = task
                task.add_done_callback(partial(self._ended, meter_id))

    def _ended(self, meter_id: int, _task: "asyncio.Task[None]") -> None:
        del self._under_way[meter_id]

    def _is_stale(self, meter: Meter) -> bool:
        meter_id = meter.meter_id
        handed = self._handed.get(meter_id)
        if handed is None:
            return True
        settings = self._settings
        half_us = round(settings.every_s * settings.readings * MICROSECONDS / 2)
        ours = self._associations.following(meter_id, handed.epoch)
        return (
            handed.concentrator != meter.concentrator
            or handed.until_us - real_us() < half_us
            or (ours is not None and ours > handed.first)
            or handed.epoch not in {c.epoch for c in self._directory.sealing_ciphers(meter_id)}
        )

    async def _hand_over(self, meter: Meter) -> None:
        try:
            handed, plan = await self._sessions.run(meter.meter_id, Urgency.BACKFILL, self._seal)
            encode = partial(encode_plan, plan)
            await self._uplinks.order(meter.concentrator, encode, self._settings.confirm_s)
        except Exception as error:
            if not isinstance(error, UserError | DlmsError):
                log.exception("meter %d: plan of sealed requests", meter.meter_id)  # ours
            log.info("meter %d: no plan of sealed requests: %s", meter.meter_id, error)
            pause_s = min(RETRY_S * 2.0 ** min(self._failures[meter.meter_id], 9), RETRY_MOST_S)
            self._failures[meter.meter_id] += 1
            self._later_s[meter.meter_id] = asyncio.get_running_loop().time() + pause_s
        else:
            self._later_s.pop(meter.meter_id, None)
            self._failures.pop(meter.meter_id, None)
            self._handed[meter.meter_id] = handed
            self.plans += 1

    async def _seal(self, session: MeterSession) -> tuple[Handed, Plan]:
        """The job: seal a plan with counters that are above all that we use until it is due."""
        settings, meter = self._settings, session.meter
        counters = await session.reserve_ahead(settings.readings, settings.spare_counters)
        cipher = next(
            each.cipher
            for each in self._directory.ciphers(meter.meter_id)
            if each.epoch == session.epoch
        )
        real, calendar = real_us(), self._now_us()
        step_us = round(settings.every_s * MICROSECONDS)
        requests = []
        for number, counter in enumerate(counters, start=1):
            first_us, last_us = (
                calendar + round(n * step_us * self._speed()) for n in (number - 2, number)
            )
            terms = GeneralTerms(
                transaction_id=(counter & UNCONFIRMED).to_bytes(4),
                originator=self._own_title,
                recipient=meter.title,
            )
            octets = seal_general(cipher, counter, profile_request(first_us, last_us), terms)
            due_us = real + number * step_us
            requests.append(SealedRequest(due=from_us(due_us), octets=octets))
        handed = Handed(
            meter.concentrator, session.epoch, counters.start, counters.stop - 1, due_us
        )
        plan = Plan(title=meter.title, offline_only=True, requests=tuple(requests))
        return handed, plan


def _losses(word: Word) -> list[Notice]:
    """Return the notices of plans that are lost."""
    if not isinstance(word, list | tuple):
        return []
    notices = [each for each in word if isinstance(each, Notice)]
    return [each for each in notices if each.code == NoticeCode.PLANS_SET_ASIDE]


def profile_request(first_us: int, last_us: int) -> bytes:
    """Return the plain request for load-profile rows of a range of the calendar."""
    first, last = (
        OctetString(CosemDateTime.from_utc(from_us(us)).encode()) for us in (first_us, last_us)
    )
    clock = CaptureObject(class_id=8, instance_id=CLOCK, attribute_id=2)
    attribute = AttributeDescriptor(
        class_id=ProfileGeneric.class_id,
        instance_id=LOAD_PROFILE,
        attribute_id=ProfileGeneric.buffer.index,
    )
    selection = ByRange(restricting_object=clock, from_value=first, to_value=last)
    return GetRequestNormal(
        invoke_id_and_priority=CONFIRMED_NORMAL, attribute=attribute, access=selection.access()
    ).encode()
