# SPDX-License-Identifier: Apache-2.0
"""Service levels against observations whose result was worked out by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cli.headend_sla import PRESETS
from openami.headend.sla import (
    OBSERVATIONS,
    Data,
    Exclusion,
    Level,
    Penalty,
    Rule,
    Start,
    Window,
    begun_since,
    first_day,
    levels,
    read_rules,
)
from openami.headend.slaobserved import of_population
from openami.headend.slastudy import Study, studied
from openami.runtime.clock import MICROSECONDS
from openami.runtime.errors import ConfigurationError
from openami.store.registry import Meter
from openami.transport.bearers.parameters import preset

HOUR = 3600 * MICROSECONDS
BERLIN = ZoneInfo("Europe/Berlin")
RULE = Rule(name="r", title="r", data=Data.INTERVAL, percent=75.0, within_s=3600.0)


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * MICROSECONDS)


def rows(
    *took_h: float | None, begins: str = "2026-03-02T10:00+01:00", region: str = "north"
) -> pl.DataFrame:
    """Things that are due, an hour after each other, with the hours until each was done."""
    first = us(begins)
    table = [
        (
            1,
            region,
            first + n * HOUR,
            None if took is None else first + n * HOUR + round(took * HOUR),
        )
        for n, took in enumerate(took_h)
    ]
    return pl.DataFrame(table, schema=OBSERVATIONS, orient="row")


def one(
    rule: Rule,
    frame: pl.DataFrame,
    now: str = "2026-04-01T00:00+00:00",
    exclusions: tuple[Exclusion, ...] = (),
) -> Level:
    (level,) = levels(rule, frame, zone=BERLIN, now_us=us(now), exclusions=exclusions)
    return level


def test_a_share_of_what_was_due_is_on_time() -> None:
    level = one(RULE, rows(0.5, 1.0, 1.5, None))
    assert (level.due, level.on_time, level.missing) == (4, 2, 1)
    assert (level.kept, level.percent) == (False, 50.0)
    assert level.reached_s == 1.5 * 3600
    assert level.begins == date(2026, 3, 2)
    assert one(RULE, rows(0.5, 1.0, 1.0, None)).kept
    assert one(RULE, rows(0.1, None, None, None)).reached_s is None


def test_what_is_still_in_time_does_not_count_yet() -> None:
    frame = rows(0.1, None)  # due at 10 and 11
    assert one(RULE, frame, "2026-03-02T11:59+01:00").due == 1
    assert one(RULE, frame, "2026-03-02T12:00+01:00").due == 2


def test_excluded_times_and_other_regions_are_left_out() -> None:
    storm = Exclusion(
        begins_us=us("2026-03-02T11:00+01:00"),
        ends_us=us("2026-03-02T12:00+01:00"),
        regions=("north",),
        reason="storm",
    )
    level = one(RULE, rows(0.5, None, 0.5), exclusions=(storm,))
    assert (level.due, level.on_time, level.excluded, level.missing) == (2, 2, 1, 0)
    south = Exclusion(
        begins_us=storm.begins_us, ends_us=storm.ends_us, regions=("south",), reason="storm"
    )
    assert one(RULE, rows(0.5, None, 0.5), exclusions=(south,)).excluded == 0
    narrow = Rule(
        name="r", title="r", data=Data.INTERVAL, percent=1, within_s=1, regions=("south",)
    )
    assert levels(narrow, rows(1.0), zone=BERLIN, now_us=us("2026-04-01T00:00+00:00")) == []


def meter(number: int, concentrator: bytes, ldn: str) -> Meter:
    return Meter(
        meter_id=number,
        title=number.to_bytes(8),
        ldn=ldn,
        region="north",
        concentrator=concentrator,
        installed_us=0,
        capture_period_s=1800,
    )


@pytest.mark.parametrize(
    ("words", "whose", "wanted"),
    [
        ("", "", [1, 2, 3]),
        ('concentrators = ["4f414dc000000001"]', "behind 4F414DC000000001", [1, 2]),
        ('models = ["OAM", "ABC"]', "of models OAM, ABC", [1, 3]),
        (
            'models = ["XYZ"]\nconcentrators = ["4F414DC000000001"]',
            "behind 4F414DC000000001 of models XYZ",
            [2],
        ),
        ('models = ["nobody"]', "of models nobody", []),
    ],
    ids=["all", "concentrator", "models", "both", "nobody"],
)
def test_a_rule_is_about_the_meters_it_names(
    tmp_path: Path, words: str, whose: str, wanted: list[int]
) -> None:
    first, second = bytes.fromhex("4F414DC000000001"), bytes.fromhex("4F414DC000000002")
    meters = [meter(1, first, "OAM1"), meter(2, first, "XYZ1"), meter(3, second, "ABC1")]
    file = tmp_path / "rules.toml"
    file.write_text(f'[r]\ndata = "interval"\npercent = 90.0\nwithin_h = 1.0\n{words}\n')
    (rule,), _ = read_rules(file)
    assert rule.whose == whose
    frame = pl.concat(
        rows(1.0).with_columns(pl.lit(n, pl.Int32).alias("meter_id")) for n in (1, 2, 3)
    )
    assert of_population(rule, frame, meters)["meter_id"].to_list() == wanted


def test_a_concentrator_that_is_no_title_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(
        '[r]\ndata = "read"\npercent = 90.0\nwithin_h = 1.0\nconcentrators = ["north"]\n'
    )
    with pytest.raises(ConfigurationError, match="system titles of 16 hex digits"):
        read_rules(file)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)]
)
def test_the_day_after_begins_at_a_local_midnight(day: str, hours: int) -> None:
    rule = Rule(
        name="r", title="r", data=Data.INTERVAL, percent=100, within_s=8 * 3600, start=Start.DAY
    )
    begin = datetime.fromisoformat(day).replace(tzinfo=BERLIN).astimezone(UTC)
    midnight = begin + timedelta(hours=hours)
    for after_h, kept in ((8, True), (8.01, False)):
        done = round((midnight + timedelta(hours=after_h)).timestamp() * MICROSECONDS)
        ends = [
            round((begin + timedelta(hours=n)).timestamp() * MICROSECONDS)
            for n in range(1, hours + 1)
        ]
        frame = pl.DataFrame(
            [(1, "", end, done) for end in ends], schema=OBSERVATIONS, orient="row"
        )
        level = one(rule, frame, "2027-01-01T00:00+00:00")
        assert (level.due, level.begins) == (hours, date.fromisoformat(day))
        assert level.kept is kept


def test_a_midnight_that_summer_time_skips_is_when_it_begins() -> None:
    zone = ZoneInfo("America/Santiago")  # 2026-09-06 begins at 01:00
    rule = Rule(
        name="r", title="r", data=Data.INTERVAL, percent=100, within_s=3600, start=Start.DAY
    )
    begins = us("2026-09-06T04:00+00:00")
    for done, kept in ((begins + HOUR, True), (begins + HOUR + 1, False)):
        frame = pl.DataFrame([(1, "", begins - HOUR, done)], schema=OBSERVATIONS, orient="row")
        (level,) = levels(rule, frame, zone=zone, now_us=us("2027-01-01T00:00+00:00"))
        assert (level.begins, level.kept) == (date(2026, 9, 5), kept)


def test_a_month_is_one_window() -> None:
    rule = Rule(name="r", title="r", data=Data.READ, percent=50, within_s=3600, window=Window.MONTH)
    frame = rows(*[0.5] * (24 * 40), begins="2026-02-27T00:00+01:00")
    found = levels(rule, frame, zone=BERLIN, now_us=us("2026-06-01T00:00+00:00"))
    assert [(each.begins.month, each.due) for each in found] == [
        (2, 48),
        (3, 31 * 24 - 1),
        (4, 24 * 40 - 48 - 31 * 24 + 1),
    ]


@pytest.mark.parametrize(
    ("percent", "due", "on_time", "kept"),
    [
        (98.0, 50, 49, True),
        (98.0, 50, 48, False),
        (99.9, 1000, 999, True),
        (99.9, 1001, 999, False),
        (70.0, 10, 7, True),
        (100.0, 3, 3, True),
    ],
)
def test_a_share_is_judged_in_whole_things(
    percent: float,
    due: int,
    on_time: int,
    kept: bool,  # noqa: FBT001  a column of the table
) -> None:
    rule = Rule(name="r", title="r", data=Data.INTERVAL, percent=percent, within_s=1)
    level = Level(
        rule=rule,
        begins=date(2026, 1, 1),
        due=due,
        on_time=on_time,
        missing=0,
        excluded=0,
        reached_s=None,
    )
    assert level.kept is kept


def test_a_penalty_counts_points_that_were_begun_up_to_its_most() -> None:
    penalty = Penalty(each_point=2.0, most=5.0)
    assert [penalty.of(short) for short in (0.1, 1.0, 1.5, 9.0)] == [2.0, 2.0, 4.0, 5.0]


def test_the_examples_hold_and_are_marked_as_what_they_are() -> None:
    rules, exclusions = read_rules(PRESETS)
    assert len(rules) == 8
    assert not exclusions
    assert all(rule.illustrative and rule.source for rule in rules)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            '[a]\npercent = 9\nwithin_h = 1\ndata = "values"',
            "data is 'values', not one of interval, read, switch, event",
        ),
        ('[a]\ndata = "read"\npercent = 0\nwithin_h = 1', "percent is 0, not above 0"),
        ('[a]\ndata = "read"\npercent = 9\nwithin_h = 1\nbonus = 1', "has no key bonus"),
        (
            '[exclusion-a]\nbegins = "2026-01-01"\nends = "2026-01-02"\nreason = "x"',
            "with its offset",
        ),
        (
            '[exclusion-a]\nbegins = "2026-01-02T00:00Z"\nends = "2026-01-01T00:00Z"\nreason = "x"',
            "not later than begins",
        ),
        ("a = 1", "not a table"),
    ],
)
def test_a_mistake_in_rules_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=sentence):
        read_rules(path)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(1, 100))
def test_the_time_that_was_reached_is_the_one_that_would_have_been_kept(
    took_h: list[float], percent: float
) -> None:
    rule = Rule(
        name="r", title="r", data=Data.INTERVAL, percent=percent, within_s=1, window=Window.MONTH
    )
    frame = rows(*took_h, begins="2026-03-02T00:00+01:00")
    level = one(rule, frame, "2027-01-01T00:00+00:00")
    assert level.reached_s is not None
    exact = Rule(
        name="r",
        title="r",
        data=Data.INTERVAL,
        percent=percent,
        window=Window.MONTH,
        within_s=level.reached_s,
    )
    assert one(exact, frame, "2027-01-01T00:00+00:00").kept


def test_a_study_has_every_value_once_and_the_same_again() -> None:
    plan = Study(bearer=preset("plc-g3"), meters=30, together=15, period_s=3600, seed=4)
    found = studied(plan, 0)
    assert found.height == 30 * 24
    assert found.unique(["meter_id", "from_us"]).height == found.height
    assert (found["done_us"] > found["from_us"]).all()
    assert found.equals(studied(plan, 0))
    other = Study(bearer=preset("plc-g3"), meters=30, together=15, period_s=3600, seed=5)
    assert not found.equals(studied(other, 0))


def test_a_crowded_medium_is_later() -> None:
    def median(together: int) -> float:
        plan = Study(bearer=preset("plc-g3"), meters=600, together=together, spread_s=60.0)
        found = studied(plan, 0)
        return float((found["done_us"] - found["from_us"]).median())  # type: ignore[arg-type]

    assert median(600) > 2 * median(20)


@pytest.mark.parametrize(("due", "percent"), [(22_700_000, 86.891), (59_000_000, 36.331)])
def test_a_share_of_many_is_what_was_written(due: int, percent: float) -> None:
    """No float is between the percentage in the file and the number of things."""
    wanted = int(due * Decimal(str(percent)) / 100)
    level = Level(
        rule=replace(RULE, percent=percent, penalty=Penalty(each_point=1.0)),
        begins=date(2026, 3, 1),
        due=due,
        on_time=wanted,
        missing=0,
        excluded=0,
        reached_s=None,
    )
    assert level.kept
    assert not replace(level, on_time=wanted - 1).kept
    assert replace(level, on_time=wanted - 1).penalty == 1.0


def test_a_file_without_a_rule_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("")
    with pytest.raises(ConfigurationError, match="has no rule"):
        read_rules(path)


def test_a_deadline_beyond_time_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('[r]\ndata = "read"\npercent = 90.0\nwithin_h = 1e15\n')
    with pytest.raises(
        ConfigurationError, match=r"within_h is 1000000000000000\.0, not a number of"
    ):
        read_rules(path)


def test_windows_that_begin_since() -> None:
    """The interval that ends at the first midnight belongs to the day before."""
    rule = replace(RULE, window=Window.MONTH)
    frame = rows(0, 0, 0, begins="2026-02-28T23:00+01:00")
    since_us = us("2026-03-01T00:00+01:00")
    assert begun_since(rule, frame, since_us).height == 1
    assert begun_since(replace(rule, data=Data.READ), frame, since_us).height == 2
    assert first_day(rule, date(2024, 2, 29)) == date(2024, 2, 1)
    assert first_day(RULE, date(2024, 2, 29)) == date(2024, 2, 29)


def test_an_exclusion_takes_times_as_toml_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    rule = '[r]\ndata = "read"\npercent = 90.0\nwithin_h = 1.0\n'
    path.write_text(
        rule + "[exclusion-x]\nreason = 'x'\nbegins = 2026-03-01T06:00:00+11:00\n"
        "ends = '2026-03-01T07:00:00+11:00'\n"
    )
    _, (exclusion,) = read_rules(path)
    assert exclusion.begins_us == us("2026-03-01T06:00:00+11:00") == exclusion.ends_us - HOUR
    for wrong in ("2026-03-01T06:00:00", "2026-03-01", "6", "'yesterday'"):
        path.write_text(rule + f"[exclusion-x]\nreason = 'x'\nbegins = {wrong}\nends = {wrong}\n")
        with pytest.raises(ConfigurationError, match="not a time with its offset"):
            read_rules(path)
