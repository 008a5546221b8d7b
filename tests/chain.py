# SPDX-License-Identifier: Apache-2.0
"""A small AMI for tests: a provisioned folder, a concentrator, a head-end, and meters in memory.

The meter is the product's server with a handful of objects; TLS, concentrator, head-end and store
are the real ones.  Ports are the system's choice.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from chainparts import (
    CLOCK,
    PUSH_SETUP,
    Counter,
    MeterLine,
    Switch,
    alarms_of,
    column,
    functions_of,
    identity,
    own_security,
    sealed_client,
    setup_of,
)
from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.process import THIS_HOST, Concentrator
from openami.cosem.classes.disconnect import Disconnector, disconnect_control
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register, ScalerUnit
from openami.cosem.classes.push import PushMessage
from openami.cosem.device import AssociationPolicy, Ciphering, LogicalDevice
from openami.cosem.model import InterfaceClass
from openami.cosem.rights import ALL, FULL_ACCESS, Grant
from openami.cosem.serving.profile import MemoryBuffer, profile_generic
from openami.dlms import data
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.data import (
    Array,
    DoubleLongUnsigned,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
    VisibleString,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import PUBLIC_CLIENT
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.envelopes import GeneralTerms, seal_general
from openami.dlms.security.keyset import KeySet
from openami.exchange.channels import Channel
from openami.headend.config import (
    CampaignSettings,
    ClockSettings,
    CollectionSettings,
    HeadEndConfig,
    ScheduleSettings,
    SessionSettings,
    WorklistSettings,
)
from openami.headend.process import HeadEnd
from openami.headend.reading import DISCONNECT, EVENT_LOG, LOAD_PROFILE, SOURCE
from openami.lifecycle.keys import MeterKeys
from openami.lifecycle.plan import (
    HEAD_END_TITLE,
    Plan,
    concentrator_title,
    logical_device_name,
    meter_title,
)
from openami.lifecycle.provision import provision
from openami.runtime.clock import from_us, to_us
from openami.runtime.layout import Layout
from openami.store import inbox
from openami.store.database import open_database
from openami.transport.endpoint import Listener, dial, listen
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, client_tls, server_tls
from openami.transport.url import Url
from openami.transport.wire import Wire, WireError

INSTALLED: Final = datetime(2026, 3, 1, tzinfo=UTC)
NOW: Final = INSTALLED + timedelta(days=2)
PERIOD: Final = timedelta(minutes=30)
REGION: Final = "north"
CONCENTRATOR: Final = concentrator_title(1)
ANY_PORT: Final = Url("tls", "127.0.0.1", 0)
FRAME_COUNTER: Final = Obis(0, 0, 43, 1, 0, 255)
LDN: Final = Obis(0, 0, 42, 0, 0, 255)
SECURITY_SETUP: Final = Obis(0, 0, 43, 0, 0, 255)

Row = tuple[int, int, int]  # clock (end of the interval) in µs, import Wh, import register Wh


def wh_of(meter_id: int, index: int) -> int:
    """Return what a meter measures in interval `index`; no two neighbours are alike."""
    return (meter_id * 7919 + index * 104_729) % 2500


def row_of(meter_id: int, index: int) -> Row:
    end = INSTALLED + (index + 1) * PERIOD
    register = sum(wh_of(meter_id, earlier) for earlier in range(index + 1))
    return to_us(end), wh_of(meter_id, index), register


def encode_rows(rows: list[Row]) -> bytes:
    return data.encode(Array(_structure(row) for row in rows))


def _structure(row: Row) -> Structure:
    end_us, wh, register = row
    return Structure(
        (
            OctetString(CosemDateTime.from_utc(from_us(end_us)).encode()),
            Unsigned(0),
            *(DoubleLongUnsigned(n) for n in (wh, 0, register, 0)),
        )
    )


def decode_rows(array: bytes) -> list[Row]:
    columns = decode_profile(array)
    assert columns.times_us is not None
    wh, _, register, _ = columns.values[-4:]
    return [
        (int(t), int(w), int(r)) for t, w, r in zip(columns.times_us, wh, register, strict=True)
    ]


@dataclass
class TestMeter:
    """A meter with a load profile, registers, breaker and event log."""

    __test__ = False

    layout: Layout
    meter_id: int
    intervals: int = 96
    now: Callable[[], datetime] = lambda: NOW

    def __post_init__(self) -> None:
        self.title = meter_title(self.meter_id)
        self.home = self.layout.meter(self.title)
        self.keys = MeterKeys.load(self.home / "keys.json", self.title)
        self.identity = TlsIdentity(*(self.home / n for n in ("ca.crt", "tls.crt", "tls.key")))
        self.master_key = MasterKey(self.keys.kek)
        self.counters = CounterBlock.reserving(Counter(), 100)  # type: ignore[arg-type]
        self.security = own_security(self) if self.keys.suite else None
        keys = KeySet(encryption_key=self.keys.guek, authentication_key=self.keys.gak)
        self.ciphering = (
            Ciphering(cipher=Cipher(keys), counters=self.counters)
            if self.security is None
            else self.security.ciphering
        )
        self.switch = Switch()
        self.breaker = Disconnector(self.switch, mode=4)
        self.outbox: dict[int, bytes] = {}  # not yet receipted
        self.receipts: list[int] = []
        self.requests = 0
        self._silence: tuple[bool, bool] | None = None  # at the next command: arrives, for good
        self._silent = False
        self._held: list[Callable[[], None]] | None = None
        self._answered_yet = 0
        self.authenticated = False
        self.command_counters: list[int] = []
        self.wire: Wire | None = None
        self.device = self._device()

    @property
    def cipher(self) -> Cipher:
        return self.ciphering.cipher

    def rows(self) -> list[Row]:
        return [row_of(self.meter_id, index) for index in range(self.intervals)]

    def push(self, rows: list[Row]) -> int:
        """Seal a push and send it, now if there is a connection, else with the next one."""
        message = PushMessage(
            long_invoke_id_and_priority=LongInvokeIdAndPriority.of(0, confirmed=True),
            logical_device_name=logical_device_name(self.meter_id).encode(),
            push_setup=PUSH_SETUP,
            rows=encode_rows(rows),
        )
        return self.tell(message.encode())

    def tell(self, apdu: bytes) -> int:
        """Seal a notification and send it, as `push` does."""
        counter = self.counters.next()
        invoke_id = LongInvokeIdAndPriority.of(counter, confirmed=True)
        plain = apdu[:1] + invoke_id.encode() + apdu[5:]
        terms = GeneralTerms(
            transaction_id=invoke_id.encode(), originator=self.title, recipient=HEAD_END_TITLE
        )
        self.outbox[int(invoke_id)] = octets = seal_general(self.cipher, counter, plain, terms)
        if self.wire is not None and self.wire.is_open:
            self.wire.send(1, 64, octets)
        return int(invoke_id)

    async def connect(self, url: Url) -> Wire:
        """Dial the concentrator and send what has no receipt."""
        expected = Expected(roles=frozenset({Role.CONCENTRATOR}), title=CONCENTRATOR)
        secured = Secured(client_tls(self.identity), expected)
        self.wire = wire = await dial(url, self.accept, secured=secured)
        for octets in list(self.outbox.values()):
            wire.send(1, 64, octets)
        return wire

    async def listen(self) -> Listener:
        """Open a port of its own, for the direct route."""
        expected = Expected(roles=frozenset({Role.HEAD_END}))
        secured = Secured(server_tls(self.identity), expected)
        return await listen(ANY_PORT, self.accept, secured=secured)

    def accept(self, wire: Wire) -> "MeterLine":
        return MeterLine(self, wire)

    def silence_at_command(self, *, arrives: bool, for_good: bool = False) -> None:
        """Lose the next protected ACTION's answer, or the ACTION itself; or all that follows."""
        self._silence = arrives, for_good

    def speak_again(self) -> None:
        self._silent = False

    def hold(self, after: int = 0) -> None:
        """Leave every request unanswered until `go_on`, after some more that are answered."""
        self._held, self._answered_yet = [], after

    def go_on(self) -> None:
        """Answer what was held, then what comes."""
        held, self._held = self._held or [], None
        for answer in held:
            answer()

    def answers(self, answer: Callable[[], None]) -> None:
        """Answer a request now, or when it is let go."""
        if self._held is None or self._answered_yet:
            self._answered_yet = max(0, self._answered_yet - 1)
            answer()
        else:
            self._held.append(answer)

    def loses(self, apdu: bytes) -> tuple[bool, bool]:
        """Tell whether a request, and whether its answer, is lost on the way."""
        if self._silent:
            return True, True
        is_command = apdu[:1] in {b"\xc9", b"\xcb"} and self.authenticated
        if apdu[:1] == b"\xcb":
            self.authenticated = True  # the first ACTION of an association is its pass 3
        elif apdu[:1] == b"\x60":
            self.authenticated = False
        if is_command and apdu[:1] == b"\xcb":
            self.command_counters.append(int.from_bytes(apdu[3:7]))  # tag, length, SC, counter
        if not is_command or self._silence is None:
            return False, False
        (arrives, self._silent), self._silence = self._silence, None
        return not arrives, True

    def _device(self) -> LogicalDevice:
        self.profile = MemoryBuffer(4096)
        for row in self.rows():
            self.profile.append(row[0], _structure(row))
        self.events = MemoryBuffer(100)
        policy = AssociationPolicy(
            client_sap=1,
            mechanism=Mechanism.HLS_GMAC if self.security is None else Mechanism.HLS_ECDSA,
            ciphering=self.ciphering,
            credentials=None if self.security is None else self.security.credentials(),
            grants=FULL_ACCESS,
        )
        public = AssociationPolicy(
            client_sap=PUBLIC_CLIENT,
            grants=tuple(Grant(at=at, read=ALL) for at in (FRAME_COUNTER, LDN)),
        )
        policies = [policy, public, sealed_client(self.ciphering, HEAD_END_TITLE, LOAD_PROFILE)]
        return LogicalDevice(
            objects=self._objects(), associations=policies, system_title=self.title
        )

    def _objects(self) -> Iterator[InterfaceClass]:
        values = {
            Channel.POWER: 400 + self.meter_id,
            Channel.VOLTAGE: 2301,
            Channel.CURRENT: 174,
            Channel.IMPORT_REGISTER: self.rows()[-1][2] if self.intervals else 0,
            Channel.EXPORT_REGISTER: 0,
        }
        for channel, value in values.items():
            yield Register(
                channel.row.obis,
                value=DoubleLongUnsigned(value),
                scaler_unit=ScalerUnit(channel.row.scaler, 30),
            )
        yield Data(SOURCE, value=VisibleString(f"home {self.meter_id}, week of 2012-07-02"))
        columns = [column(8, CLOCK), column(1, Obis(0, 0, 96, 10, 1, 255))]
        columns += [column(3, Channel(n).row.obis) for n in (1, 2, 3, 4)]
        profile = ProfileGeneric(
            LOAD_PROFILE, capture_objects=tuple(columns), capture_period=1800, profile_entries=4096
        )
        yield profile_generic(profile, self.profile)
        log = ProfileGeneric(
            EVENT_LOG,
            capture_objects=(columns[0], column(1, Obis(0, 0, 96, 11, 0, 255))),
            capture_period=0,
            profile_entries=100,
        )
        yield profile_generic(log, self.events)
        yield disconnect_control(DISCONNECT, self.breaker)
        yield from identity(logical_device_name(self.meter_id), LOAD_PROFILE)
        now_us = lambda: to_us(self.now())  # noqa: E731
        functions = functions_of(self.home, self.meter_id, now_us, self.breaker)
        self.clock, self.limit, self.tariffs = functions.clock, functions.limit, functions.tariffs
        yield from functions.objects
        self.alarms = alarms_of(now_us, lambda notice: self.tell(notice.encode()))
        yield from self.alarms.objects(lambda _code: None)
        counter = Data(FRAME_COUNTER)
        counter.bind(Data.value, lambda: DoubleLongUnsigned(self.ciphering.window.expected))
        yield counter
        yield setup_of(self, SECURITY_SETUP, HEAD_END_TITLE)

    def log_event(self, at: datetime, code: int) -> None:
        clock = OctetString(CosemDateTime.from_utc(at).encode())
        self.events.append(to_us(at), Structure((clock, LongUnsigned(code))))


@dataclass
class Running:
    """A service in this loop that can be stopped, or killed in its tracks."""

    task: asyncio.Task[None]
    stop: asyncio.Event

    async def end(self) -> None:
        self.stop.set()
        await self.task


QUICK_SESSIONS: Final = SessionSettings(idle_s=0.2, answer_timeout_s=5.0, counter_block=32)
NO_SCHEDULE: Final = ScheduleSettings(look_s=3600.0)  # one look at the start, when nobody is there
QUICK_WORK: Final = WorklistSettings(look_s=0.02, retry_first_s=0.1)
QUICK_CAMPAIGNS: Final = CampaignSettings(look_s=0.02, flush_s=0.0, ask_s=0.05, later_s=0.05)
QUICK_SCHEDULE: Final = ScheduleSettings(look_s=0.05, retry_first_s=0.1)


class Chain:
    """One concentrator and one head-end below a provisioned folder."""

    def __init__(self, folder: Path, meters: int = 3, suite: int = 0) -> None:
        self.layout = Layout(folder / "var")
        installed_us = to_us(INSTALLED)
        plan = Plan(meters=meters, regions=(REGION,), installed_us=installed_us, suite=suite)
        provision(self.layout, plan)
        self.now = NOW
        self.meters = {
            n: TestMeter(self.layout, n, now=lambda: self.now) for n in range(1, meters + 1)
        }
        self.uplink_url = self.meters_url = ANY_PORT
        self.schedule = NO_SCHEDULE
        self.sessions = QUICK_SESSIONS
        self.collection = CollectionSettings()
        self.host = THIS_HOST  # clocks of the concentrator's machine
        self.clocks = ClockSettings(on=False)  # measured, and left alone
        self.headend: HeadEnd
        self.concentrator: Concentrator
        self.running_headend: Running
        self.running_concentrator: Running
        self._engine: Engine | None = None

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = open_database(self.layout.database_url, create=True)
        return self._engine

    def headend_config(self) -> HeadEndConfig:
        return replace(
            HeadEndConfig.load(self.layout.headend),
            listen=self.uplink_url,
            sessions=self.sessions,
            schedule=self.schedule,
            collection=self.collection,
            clocks=self.clocks,
            key_changes=QUICK_WORK,
            commissioning=QUICK_WORK,
            campaigns=QUICK_CAMPAIGNS,
        )

    def concentrator_config(self) -> ConcentratorConfig:
        return replace(
            ConcentratorConfig.load(self.layout.concentrator(REGION)),
            uplink=self.uplink_url,
            meters_listen=self.meters_url,
            backoff_first_s=0.02,
            backoff_most_s=0.1,
        )

    async def start_headend(self) -> Running:
        self.headend = HeadEnd(self.headend_config(), lambda: to_us(self.now))
        running = self.running_headend = self._start(self.headend.run)
        await until(lambda: self.headend.listener is not None, running)
        assert self.headend.listener is not None
        self.uplink_url = self.headend.listener.url
        return running

    async def start_concentrator(self) -> Running:
        self.concentrator = Concentrator(self.concentrator_config(), host=self.host)
        running = self.running_concentrator = self._start(self.concentrator.run)
        await until(lambda: self.concentrator.listener is not None, running)
        assert self.concentrator.listener is not None
        self.meters_url = self.concentrator.listener.url
        return running

    async def concentrator_ends(self) -> None:
        await self.running_concentrator.end()

    async def headend_ends(self) -> None:
        await self.running_headend.end()

    def _start(self, run: Callable[[asyncio.Event], Awaitable[None]]) -> Running:
        stop = asyncio.Event()

        async def main() -> None:
            await run(stop)

        return Running(asyncio.create_task(main()), stop)

    async def attach(self, *meter_ids: int) -> None:
        """Connect meters and wait until the head-end knows their routes."""
        for meter_id in meter_ids or tuple(self.meters):
            await self.meters[meter_id].connect(self.meters_url)
        for meter_id in meter_ids or tuple(self.meters):
            title = self.meters[meter_id].title
            await until(lambda title=title: self.headend.uplinks.has_route(title))  # type: ignore[misc]

    def repeated(self, count: int) -> bool:
        """Tell whether the head-end has confirmed so many pushes again."""
        return self.headend.notifications.repeated == count

    def stored(self) -> list[inbox.Message]:
        """Return what the inbox holds, without claiming it."""
        from sqlalchemy import select  # noqa: PLC0415

        from openami.store.tables import inbox as table  # noqa: PLC0415

        columns = [column for column in table.c if column.name != "batch_id"]
        with self.engine.connect() as connection:
            rows = connection.execute(select(*columns).order_by(table.c.message_id)).mappings()
            return [inbox.Message(**row) for row in rows]

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()


@asynccontextmanager
async def running_chain(folder: Path, meters: int = 3, suite: int = 0) -> AsyncIterator[Chain]:
    """Start head-end and concentrator; stop them at the end."""
    chain = Chain(folder, meters, suite)
    await chain.start_headend()
    await chain.start_concentrator()
    try:
        await until(lambda: chain.concentrator.uplink.is_up, chain.running_concentrator)
        yield chain
    finally:
        for meter in chain.meters.values():
            if meter.wire is not None:
                meter.wire.close()
        await chain.concentrator_ends()
        await chain.headend_ends()
        chain.close()


async def until(
    condition: Callable[[], bool], running: Running | None = None, timeout_s: float = 60.0
) -> None:
    """Wait until `condition` holds; a service that ends meanwhile raises its error."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            if running is not None and running.task.done():
                running.task.result()
            await asyncio.sleep(0.01)


async def closed(wire: Wire) -> None:
    """Close a wire and wait until it is gone."""
    try:
        wire.close()
    except WireError:
        return
    await wire.gone()
