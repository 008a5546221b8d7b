# SPDX-License-Identifier: Apache-2.0
"""`headend/config.toml` as frozen values (docs/provisioning.md, 2.5).

The tables `[sessions]`, `[schedule]`, `[commands]`, `[key_changes]`, `[commissioning]`,
`[clocks]`, `[campaigns]`, `[outages]`, `[topology]` and `[worker]` may be left out; every key in
them has a default.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from openami.access.custody import Places
from openami.headend.orders import MOST_SHIFT_S
from openami.runtime.config import ConfigFile, Table, setting
from openami.store.database import url_of
from openami.transport.doors import Network, doors_of
from openami.transport.tls import TlsIdentity
from openami.transport.url import Url


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """How meters are spoken to."""

    parallel: int = setting(200, least=1)  # jobs at once
    concentrator_parallel: int = setting(50, least=1)  # ... through one concentrator
    cell_parallel: int = setting(10, least=1)  # ... with meters of one cell
    idle_s: float = 10.0  # an association without work is released after it
    answer_timeout_s: float = setting(10.0, least=0.1)  # for each request
    counter_block: int = setting(256, least=16)  # invocation counters reserved at a time
    counter_skip: int = 2**20  # the most that a meter's unprotected word may move them on
    dial_timeout_s: float = 5.0  # of a meter's own address


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """When meters are read without being asked for."""

    daily_at_s: int = 7200  # of the calendar's UTC day: when the daily read begins
    spread_s: int = 14_400  # calendar seconds over which meters are spread
    events_every_s: int = 14_400  # calendar seconds between two reads of the event log
    look_s: float = setting(1.0, least=0.01)  # real seconds between two looks at what is due
    gap_rows: int = setting(96, least=1)  # the most profile rows in one back-fill
    retry_first_s: float = setting(
        5.0, least=0.1
    )  # real seconds before a failed read is tried again
    retry_most_s: float = 300.0  # ... at most


class RetrySettings(Protocol):
    """How long to wait before something is tried again, real seconds; doubled each time."""

    @property
    def retry_first_s(self) -> float: ...
    @property
    def retry_most_s(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistSettings:
    """How meters are worked on beside everything else."""

    parallel: int = setting(20, least=1)  # meters at once
    look_s: float = setting(1.0, least=0.01)  # real seconds between two looks for what is asked
    retry_first_s: float = setting(5.0, least=0.1)  # before a meter is tried again
    retry_most_s: float = 900.0  # ... at most


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSettings:
    """How commands are carried out, and tried again where they reach no meter."""

    parallel: int = setting(200, least=1)  # worked on at once
    clock_most_s: float = setting(900.0, least=0.0)  # a clock further off is set by force only
    retry_first_s: float = setting(2.0, least=0.01)  # real seconds; doubled each time
    retry_most_s: float = 60.0  # ... at most
    attempts_most: int = setting(50, least=1)  # then it has failed


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSettings:
    """How meters' clocks are measured and kept (docs/clocks.md); times are of the calendar."""

    on: bool = True  # off: they are measured, and nothing is asked
    measure_every_s: float = 86_400.0  # 0: with each scheduled read
    history: int = setting(30, least=2)  # measurements of a meter that are kept
    tolerated_s: float = 0.0  # the most a clock should be off; 0: as its companion profile says
    shift_from_s: float = setting(5.0, least=1.0)  # what is less off is left alone
    shift_most_s: float = 180.0  # ... and what is more off is set
    set_most_s: float = 900.0  # what is more off waits for a person
    uncertainty_most_s: float = 10.0  # what is known less well is not acted on
    drift_most_s: float = 10.0  # a day; a clock that drifts more is told to a person
    between_s: float = 72_000.0  # from one correction of a meter to the next
    guard_s: float = 60.0  # before and after an interval's end no clock is moved
    settle_s: float = 300.0  # what others measure meanwhile is heard before one is corrected
    fresh_s: float = 21_600.0  # what was measured longer ago is not acted on
    at_once: int = setting(20, least=1)  # corrections under way
    hourly_most: int = setting(500, least=1)  # ... begun in an hour
    suspect_part: float = 0.7  # more than this part alike: the head-end is suspected
    suspect_least: int = setting(10, least=3)  # ... of so many meters
    suspect_from_s: float = 10.0  # ... that are further off than this
    look_s: float = setting(5.0, least=0.01)  # real seconds between two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignSettings:
    """How firmware campaigns are carried out; what a campaign is about stands in its plan."""

    parallel: int = setting(50, least=1)  # meters at once that are sent an image, or start it
    follow_parallel: int = setting(50, least=1)  # ... that are asked what came of it
    look_s: float = setting(1.0, least=0.01)  # real seconds between two looks
    flush_s: float = setting(1.0, least=0.0)  # between two notes of how far a transfer is
    burst_s: float = setting(5.0, least=0.1)  # of blocks, then others of the same rank may go
    ask_s: float = setting(5.0, least=0.01)  # after an activation; longer as it lasts, to a minute
    later_s: float = setting(5.0, least=0.01)  # before a transfer that was put down is looked at
    broadcast_wait_s: float = setting(300.0, least=0.01)  # for meters or a concentrator
    broadcast_confirm_s: float = setting(60.0, least=0.1)  # until a block has left a concentrator


@dataclass(frozen=True, slots=True, kw_only=True)
class OutageSettings:
    """What makes an outage (docs/outages.md); all times are real seconds."""

    settle_s: float = 2.0  # in which further last gasps are waited for
    quorum_part: float = 0.3  # of a transformer's meters
    quorum_least: int = setting(2, least=1)  # ... and at least so many
    ask_most: int = setting(3, least=1)  # neighbours that are asked
    ask_timeout_s: float = setting(4.0, least=0.1)  # a meter that has not answered then is silent
    feeder_part: float = 0.5  # of a feeder's transformers
    feeder_least: int = setting(2, least=2)
    feeder_window_s: float = 60.0  # in which they fail together
    nested_after_s: float = 60.0  # without a further return: who is left has an outage of its own
    silent_again_s: float = 20.0  # those that only were silent are asked again so often
    gasped_again_s: float = 120.0  # ... and those that told of it
    ask_at_once: int = setting(50, least=1)  # questions under way
    lost_uplink_s: float = 5.0  # a concentrator is out of reach after it
    planned_restart_s: float = setting(60.0, least=0.0)  # ... after it, if it told of a new start
    stopped_s: float = setting(900.0, least=0.0)  # ... if it told that it was stopped in order
    look_s: float = setting(0.25, least=0.01)  # between two looks at what was told


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSettings:
    """What concentrators are to read by themselves while we are out of their reach."""

    every_s: float = 0.0  # real seconds from one reading of a meter to the next; 0: never
    readings: int = setting(36, least=1)  # handed in advance for each meter
    spare_counters: int = setting(512, least=16)  # for us before the handed ones fall due
    parallel: int = setting(20, least=1)  # meters at once
    look_s: float = setting(5.0, least=0.01)  # real seconds between two looks
    confirm_s: float = setting(30.0, least=0.1)  # for the concentrator to confirm a plan


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """One of the head-ends that share a store."""

    name: str = "headend"  # each its own; a restarted one keeps it, and what it held
    lease_s: float = 15.0  # what a worker held is another's so long after it died


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEndConfig:
    """What the head-end is told."""

    title: bytes
    zone: str
    listen: Url
    max_connections: int
    handshake_timeout_s: float
    half_open_per_address: int
    gateways: tuple[Network, ...]
    silence_s: float  # an uplink without a frame for so long is closed
    keystore: Places
    shipment: Path
    pairs: Path | None  # key pairs for meters of suites 1 and 2
    profiles: Path | None  # folder of companion profiles, beside those that come with us
    database: str  # SQLAlchemy URL
    identity: TlsIdentity
    sessions: SessionSettings = SessionSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    key_changes: WorklistSettings = WorklistSettings()
    commissioning: WorklistSettings = WorklistSettings()
    commands: CommandSettings = CommandSettings()
    clocks: ClockSettings = ClockSettings()
    campaigns: CampaignSettings = CampaignSettings()
    outages: OutageSettings = OutageSettings()
    topology: Path | None = None  # CSV, read at each start (store.topology)
    collection: CollectionSettings = CollectionSettings()
    worker: WorkerSettings = WorkerSettings()
    publish_events: bool = False  # to the outbox, which meter data management publishes

    @classmethod
    def load(cls, home: Path) -> Self:
        """Read `config.toml` in `home`.

        Raises:
            ConfigurationError: It is missing, or a key in it is missing or has a wrong value.
        """
        file = ConfigFile(home / "config.toml")
        own, uplink, keys = (file.table(name) for name in ("head_end", "uplink", "keys"))
        worker = file.table("worker")
        half_open, gateways = doors_of(uplink)
        config = cls(
            title=own.title("title"),
            zone=own.zone("zone").key,
            listen=Url.of(uplink, "listen"),
            max_connections=uplink.whole("max_connections", 1000, least=1),
            handshake_timeout_s=uplink.number("handshake_timeout_s", 20.0),
            half_open_per_address=half_open,
            gateways=gateways,
            silence_s=uplink.number("silence_s", 120.0, least=0.1),
            keystore=Places(keys.text("keystore"), keys.texts("former_keystores", []), home),
            shipment=keys.path("shipment"),
            pairs=keys.path("pairs") if keys.text("pairs", "") else None,
            profiles=own.path("profiles") if own.text("profiles", "") else None,
            database=url_of(file.table("store").text("database"), home),
            identity=TlsIdentity.of(file.table("tls")),
            sessions=file.table("sessions").settings(SessionSettings),
            schedule=file.table("schedule").settings(ScheduleSettings),
            key_changes=file.table("key_changes").settings(WorklistSettings),
            commissioning=file.table("commissioning").settings(WorklistSettings),
            commands=file.table("commands").settings(CommandSettings),
            clocks=_clocks(file.table("clocks")),
            campaigns=file.table("campaigns").settings(CampaignSettings),
            outages=_outages(file.table("outages")),
            topology=_topology(file.table("topology")),
            collection=file.table("collection").settings(CollectionSettings),
            publish_events=file.table("publish").flag("events", default=False),
            worker=WorkerSettings(
                name=worker.text("name", "headend"),
                lease_s=worker.number("lease_s", 15.0, least=1.0),
            ),
        )
        file.refuse_unknown()
        return config


def _outages(table: Table) -> OutageSettings:
    found = table.settings(OutageSettings)
    for name in ("quorum_part", "feeder_part"):
        if getattr(found, name) > 1:
            raise table.refused(name, "a part from 0 to 1")
    return found


def _clocks(table: Table) -> ClockSettings:
    found = table.settings(ClockSettings)
    if found.suspect_part > 1:
        raise table.refused("suspect_part", "a part from 0 to 1")
    if found.shift_most_s > MOST_SHIFT_S:
        raise table.refused("shift_most_s", f"at most {MOST_SHIFT_S}, as the standard shifts")
    return found


def _topology(table: Table) -> Path | None:
    return table.path("file") if table.text("file", "") else None
