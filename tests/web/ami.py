# SPDX-License-Identifier: Apache-2.0
"""A small AMI for pages: real SQLite, real Delta tables, seeded load, one of every trouble."""

import math
import random
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
from fastapi import FastAPI
from sqlalchemy import Engine

from openami.access import accounts
from openami.exchange.channels import Channel
from openami.exchange.commands import CommandKind, CommandState
from openami.exchange.events import EventCode
from openami.exchange.quality import Quality
from openami.runtime.clock import FixedClock, to_us
from openami.runtime.status import write_status
from openami.store import commands, data_quality, inbox, live, registry
from openami.store.database import open_database
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import SCHEMA
from openami.web.config import WebConfig
from openami.web.context import Context
from openami.web.lake import LakeReadings
from openami.web.money import load_prices
from openami.web.times import Span

ZONE = ZoneInfo("Australia/Sydney")
PERIOD_US = 1_800_000_000
DAY_US = 86_400_000_000
NOW = datetime(2026, 10, 15, 14, 20, tzinfo=ZONE)
INSTALLED = datetime(2026, 10, 2, 0, 0, tzinfo=ZONE)  # the clock is put forward on 4 October
REGIONS = ("north", "south")
UTILITY_PASSWORD = "correct-horse-battery"
HOME_PASSWORD = "staple-of-the-house"

ESTIMATED_METER = 2  # estimates yesterday, a gap today
LATE_METER = 3  # an actual value that replaced an estimate
DETACHED_METER = 5
DISCONNECTED_METER = 7


@dataclass
class Ami:
    """The fixture and what tests need to know of it."""

    context: Context
    clock: FixedClock
    folder: Path
    now_us: int
    installed_us: int
    meters: int
    app: FastAPI | None = None

    @property
    def engine(self) -> Engine:
        return self.context.engine


def meter_title(meter_id: int) -> bytes:
    return b"OAM" + meter_id.to_bytes(5, "big")


def build(folder: Path, *, meters: int = 24, empty: bool = False) -> Ami:
    """Make the AMI in a folder; `empty` leaves accounts only."""
    ami = open_ami(folder, meters=0 if empty else meters)
    homes = [1, 2, 3, 5]
    accounts.create_first_accounts(ami.engine, homes)
    accounts.set_password(ami.engine, "utility", UTILITY_PASSWORD, by="test")
    for number in homes:
        login = accounts.household_login(number)
        accounts.set_password(ami.engine, login, HOME_PASSWORD, by="test")
    if not empty:
        _registry(ami)
        _lake(ami)
        _live(ami)
        _troubles(ami)
    return ami


def copy(template: Path, folder: Path, *, meters: int) -> Ami:
    """Open a copy of an AMI that was made before, with fresh statuses."""
    shutil.copytree(template, folder, dirs_exist_ok=True)
    ami = open_ami(folder, meters=meters)
    if meters:
        tell_statuses(ami)
    return ami


def open_ami(folder: Path, *, meters: int, minimum_homes: int = 10) -> Ami:
    now_us, installed_us = to_us(NOW.astimezone(UTC)), to_us(INSTALLED.astimezone(UTC))
    engine = open_database(f"sqlite:///{folder / 'openami.db'}", create=True)
    clock = FixedClock(now_us, speed=120.0)
    config = WebConfig(
        host="127.0.0.1",
        port=0,
        zone=ZONE,
        session_key=b"k" * 32,
        database_url=str(engine.url),
        lake=folder / "lake",
        clock=folder / "clock.json",
        run=folder / "run",
        tariff=None,
        minimum_homes=minimum_homes,
    )
    context = Context(
        config=config,
        engine=engine,
        clock=clock,
        readings=LakeReadings(folder / "lake"),
        prices=load_prices(None, ZONE),
    )
    return Ami(context, clock, folder, now_us, installed_us, meters)


def _registry(ami: Ami) -> None:
    rows = [
        registry.Meter(
            meter_id=number,
            title=meter_title(number),
            ldn=f"OAM{number:013d}",
            region=REGIONS[(number - 1) % 2],
            concentrator=b"OAM\xc0\x00\x00\x00" + bytes([(number - 1) % 2 + 1]),
            installed_us=ami.installed_us,
            capture_period_s=1800,
            source=replayed(number),
            breaker=0 if number == DISCONNECTED_METER else 1,
            breaker_us=ami.now_us - DAY_US,
            last_seen_us=ami.now_us - 60_000_000,
            profile_read_us=ami.now_us - DAY_US // 2,
        )
        for number in range(1, ami.meters + 1)
    ]
    registry.import_meters(ami.engine, rows)
    states = {number: number != DETACHED_METER for number in range(1, ami.meters + 1)}
    registry.set_attached(ami.engine, states, ami.now_us - 3 * 3_600_000_000)
    tell_statuses(ami)


def tell_statuses(ami: Ami) -> None:
    """Let every process say that it is well."""
    for process in ("concentrator-north", "concentrator-south", "headend", "mdm", "fleet"):
        write_status(ami.context.config.run, process, {"messages": 1200})


def replayed(number: int) -> str:
    home, month = (number - 1) % 5 + 1, number % 12 + 1
    return f"home {home}, week of 2012-{month:02d}-04, shifted by 5,110 days"


def load_wh(rng: random.Random, start_us: int, size: float) -> int:
    local = datetime.fromtimestamp(start_us / 1e6, ZONE)
    hour = local.hour + local.minute / 60
    shape = (
        0.25 + 0.6 * math.exp(-((hour - 7.5) ** 2) / 3) + 1.1 * math.exp(-((hour - 19) ** 2) / 7)
    )
    return max(5, round(500 * size * shape * rng.lognormvariate(0, 0.45)))


Rows = list[dict[str, object]]


def _lake(ami: Ami) -> None:
    rng = random.Random(7)
    writer = IntervalWriter(ami.folder / "lake")
    last_us = ami.context.settled_us(ami.now_us) // PERIOD_US * PERIOD_US
    rows: Rows = []
    counts: dict[tuple[int, int], list[int]] = {}
    late: Rows = []
    for number in range(1, ami.meters + 1):
        size = rng.uniform(0.5, 1.6)
        for start_us in range(ami.installed_us, last_us, PERIOD_US):
            value = load_wh(rng, start_us, size)
            if number == DETACHED_METER and start_us >= last_us - 6 * PERIOD_US:
                continue
            quality, version = _quality(number, start_us, last_us)
            if quality is None:
                continue
            day = counts.setdefault((number, start_us // DAY_US), [0, 0, 0])
            day[0] += not quality & Quality.ESTIMATED
            day[1] += bool(quality & Quality.ESTIMATED)
            day[2] += bool(quality & Quality.SUSPECT)
            row = _row(number, start_us, value, int(quality), version)
            rows.append(row)
            if (
                number == LATE_METER
                and last_us - 60 * PERIOD_US <= start_us < last_us - 56 * PERIOD_US
            ):
                late.append(
                    {**row, "version": version + 1, "message_id": 900_000, "value": value + 11}
                )
                row["quality"] = int(Quality.ESTIMATED | Quality.LIKE_DAY)
                row["message_id"] = 0
    raw = pl.DataFrame(
        [
            {
                "message_id": 900_000,
                "meter_id": LATE_METER,
                "received_us": ami.now_us,
                "kind": "profile",
                "key_epoch": 1,
                "hops": "north",
                "clock_status": 0,
                "octets": b"\x00" * 412,
            }
        ],
        schema_overrides={"key_epoch": pl.Int32, "clock_status": pl.Int16, "meter_id": pl.Int32},
    ).with_columns(pl.lit(NOW.date()).alias("day"))
    writer.append(1, _frame(rows), raw)
    if late:
        writer.append_versions(_frame(late))
        for day in {row["start"].date() for row in late}:  # type: ignore[attr-defined]
            writer.reduce(day, 0)
    writer.close()
    data_quality.put_coverage(
        ami.engine,
        [
            data_quality.Coverage(
                meter_id=number, day=day, expected=48, actual=a, estimated=e, suspect=s
            )
            for (number, day), (a, e, s) in counts.items()
        ],
    )


def _quality(number: int, start_us: int, last_us: int) -> tuple[Quality | None, int]:
    if number == ESTIMATED_METER:
        back = (last_us - start_us) // PERIOD_US
        if 5 < back <= 8:
            return None, 0
        if 30 < back <= 34:
            return Quality.ESTIMATED | Quality.INTERPOLATED | Quality.SCALED, 1
        if 60 < back <= 90:
            return Quality.ESTIMATED | Quality.LIKE_DAY, 1
        if back == 20:
            return Quality.SUSPECT, 1
    return Quality.MEASURED, 1


def _row(number: int, start_us: int, value: int, quality: int, version: int) -> dict[str, object]:
    return {
        "meter_id": number,
        "channel": int(Channel.IMPORT_WH),
        "start": datetime.fromtimestamp(start_us / 1e6, UTC),
        "value": value,
        "quality": quality,
        "version": version,
        "received_us": start_us + PERIOD_US + 4_000_000,
        "message_id": 0
        if quality & Quality.ESTIMATED
        else 100_000 + start_us // PERIOD_US % 100_000,
    }


def _frame(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(SCHEMA))


def _live(ami: Ami) -> None:
    last_us = ami.context.settled_us(ami.now_us) // PERIOD_US * PERIOD_US - PERIOD_US
    values = []
    for number in range(1, ami.meters + 1):
        span = Span(ami.installed_us, ami.now_us)
        series = ami.context.readings.series(number, Channel.IMPORT_WH, span)
        values.append(
            live.Latest(
                meter_id=number,
                channel=Channel.IMPORT_WH,
                start_us=series.starts_us[-1],
                value=series.values[-1],
                quality=series.qualities[-1],
                received_us=last_us + PERIOD_US,
            )
        )
    for number in range(1, min(4, ami.meters) + 1):
        values += momentary(ami, number, power_w=640 + 700 * (number % 2))
    live.put_latest(ami.engine, values)


def momentary(ami: Ami, meter_id: int, *, power_w: int) -> list[live.Latest]:
    """Return live values as the head-end writes them."""
    shown = {
        Channel.POWER: power_w,
        Channel.VOLTAGE: 2312,
        Channel.CURRENT: power_w * 1000 // 2312,
        Channel.IMPORT_REGISTER: 4_812_345,
    }
    now_us = ami.clock.now_us()
    return [
        live.Latest(
            meter_id=meter_id,
            channel=channel,
            start_us=now_us,
            value=value,
            quality=0,
            received_us=now_us,
        )
        for channel, value in shown.items()
    ]


def tell_power(ami: Ami, meter_id: int, power_w: int) -> None:
    """Do what the head-end does when a watched meter has answered."""
    live.put_latest(ami.engine, momentary(ami, meter_id, power_w=power_w))
    entry = live.Entry(
        kind="live", meter_id=meter_id, at_us=ami.clock.now_us(), body={"10": power_w}
    )
    live.append_feed(ami.engine, [entry])


def _troubles(ami: Ami) -> None:
    now_us, engine = ami.now_us, ami.engine
    last_us = ami.context.settled_us(now_us) // PERIOD_US * PERIOD_US
    data_quality.open_gaps(
        engine,
        [
            (ESTIMATED_METER, last_us - 8 * PERIOD_US, last_us - 5 * PERIOD_US),
            (DETACHED_METER, last_us - 6 * PERIOD_US, last_us),
        ],
        now_us,
    )
    gap = data_quality.gaps(engine, meter_id=DETACHED_METER)[0]
    for _ in range(4):
        data_quality.attempt(engine, gap.gap_id, 0, "the meter is not attached")
    data_quality.add_findings(
        engine,
        [
            data_quality.Finding(
                meter_id=ESTIMATED_METER,
                channel=1,
                start_us=last_us - 20 * PERIOD_US,
                code="vee.spike",
                numbers={"ratio": 2.31, "limit": 1.8},
                found_us=now_us - 3 * PERIOD_US,
            ),
            data_quality.Finding(
                meter_id=LATE_METER,
                channel=1,
                start_us=last_us - 58 * PERIOD_US,
                code="intake.changed",
                numbers={"before_wh": 210, "now_wh": 221},
                found_us=now_us - 2 * PERIOD_US,
            ),
        ],
    )
    registry.add_events(
        engine,
        [
            registry.Event(
                meter_id=ESTIMATED_METER,
                at_us=now_us - 5 * PERIOD_US,
                code=EventCode.POWER_FAILURE,
                received_us=now_us - 4 * PERIOD_US,
            ),
            registry.Event(
                meter_id=ESTIMATED_METER,
                at_us=now_us - 4 * PERIOD_US,
                code=EventCode.POWER_RETURNED,
                received_us=now_us - 4 * PERIOD_US,
            ),
        ],
    )
    inbox.reject(
        engine,
        [
            inbox.Rejected(
                title=meter_title(4),
                concentrator=None,
                received_us=now_us - 3_600_000_000,
                reason="the authentication tag is wrong: another key, or octets changed on the way",
                octets=b"\xdb" * 143,
            )
        ],
    )
    add_command(ami, 9, CommandKind.READ, CommandState.CONFIRMED)
    add_command(ami, DISCONNECTED_METER, CommandKind.DISCONNECT, CommandState.CONFIRMED)
    add_command(ami, 6, CommandKind.DISCONNECT, CommandState.IN_DOUBT)


def add_command(ami: Ami, meter_id: int, kind: CommandKind, state: CommandState) -> str:
    """Write a command and walk it to a state as the head-end does."""
    command_id = commands.ask(
        ami.engine,
        meter_id=meter_id,
        kind=kind,
        asked_by="utility",
        reason="move out on 15 October",
    )
    advance(ami, command_id, state)
    return command_id


def advance(ami: Ami, command_id: str, state: CommandState) -> None:
    """Walk a command from where it stands to a state."""
    way = {
        CommandState.REQUESTED: "",
        CommandState.RESERVED: "invocation counters 4711 to 4720 reserved",
        CommandState.SENT: "ACTION sent by north",
    }
    stations = [*(station for station in way if station is not state), state]
    now = commands.command(ami.engine, command_id).state
    for to_state in stations[stations.index(now) + 1 :]:
        note = way.get(to_state, "the control state was read back")
        commands.advance(ami.engine, command_id, {now}, to_state, note)
        now = to_state
