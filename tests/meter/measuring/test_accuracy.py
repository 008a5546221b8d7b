# SPDX-License-Identifier: Apache-2.0
"""Class 0.5 S: the tables are whole, and a calibrated meter is within them everywhere."""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from openami.cli.main import openami
from openami.meter.measuring.accuracy import (
    CURRENTS_IN,
    ERROR_LIMITS,
    INFLUENCES,
    MOST_IN,
    Bench,
    Errors,
    Load,
    Point,
    limit_percent,
)
from openami.meter.measuring.adc import ChannelError, drawn_converter
from openami.meter.measuring.error_plot import error_plot
from openami.runtime.errors import UserError


@cache
def walked(seed: int) -> Errors:
    return Bench(seed=seed, frames=5).walk()


@pytest.mark.parametrize(
    ("load", "current_in", "limit"),
    [
        (Load.UNITY, 0.0099, None),
        (Load.UNITY, 0.01, 1.0),
        (Load.UNITY, 0.0499, 1.0),
        (Load.UNITY, 0.05, 0.5),
        (Load.UNITY, MOST_IN, 0.5),
        (Load.INDUCTIVE, 0.0199, None),
        (Load.INDUCTIVE, 0.02, 1.0),
        (Load.INDUCTIVE, 0.1, 0.6),
        (Load.CAPACITIVE, 0.0999, 1.0),
        (Load.CAPACITIVE, MOST_IN, 0.6),
        (Load.UNITY, MOST_IN * 1.01, None),
    ],
)
def test_limits_are_those_of_the_class(load: Load, current_in: float, limit: float | None) -> None:
    assert limit_percent(load, current_in) == limit


@pytest.mark.parametrize("seed", [1, 2])
def test_a_calibrated_meter_is_within_class_over_the_whole_table(seed: int) -> None:
    errors = walked(seed)
    outside = [row for row in errors.rows if not row.within]
    assert outside == []
    moved = [row for row in errors.influences if not row.within]
    assert moved == []
    assert errors.within


def test_every_row_of_both_tables_is_walked() -> None:
    errors = walked(1)
    for limit in ERROR_LIMITS:
        walked_in = {row.current_in for row in errors.rows if row.load is limit.load}
        assert limit.from_in in walked_in
        assert limit.below_in in walked_in
    assert len(errors.rows) == len(CURRENTS_IN) * 3 - 2
    for influence in INFLUENCES:
        rows = [row for row in errors.influences if row.influence is influence]
        assert [row.current_in for row in rows] == list(influence.currents_in)


def test_an_uncalibrated_meter_is_out_of_class() -> None:
    bench = Bench(seed=1, frames=5)
    bench.calibration = type(bench.calibration).nominal(drawn_converter(1))
    errors = bench.walk()
    assert not errors.within
    assert sum(not row.within for row in errors.rows) > len(errors.rows) / 3


def test_a_current_channel_that_lags_is_out_of_class_at_half_power_factor_only() -> None:
    bench = Bench(seed=1, frames=5)
    lag = bench.calibration.lag + 0.5  # 62 µs, 1.1°
    bench.calibration = replace(bench.calibration, lag=lag)
    unity, inductive = bench.errors_percent(
        [Point(load=load, current_in=1.0) for load in (Load.UNITY, Load.INDUCTIVE)]
    )
    assert abs(unity) < 0.5
    assert abs(inductive) > 2.0


def test_a_clipping_meter_is_out_of_class_at_its_most_current() -> None:
    converter = replace(drawn_converter(1), full_scale_a=120.0, current=(ChannelError(),) * 4)
    bench = Bench(converter=converter, frames=5)
    low, high = bench.errors_percent(
        [Point(load=Load.UNITY, current_in=current) for current in (10.0, MOST_IN)]
    )
    assert abs(low) < 0.2
    assert high < -1.0


def test_the_plot_holds_every_point_and_every_limit() -> None:
    errors = walked(1)
    drawn = ET.fromstring(error_plot(errors))  # noqa: S314  our own
    circles = list(drawn.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(circles) == 3 + len(errors.rows) + 11
    dashed = [
        each
        for each in drawn.iter("{http://www.w3.org/2000/svg}line")
        if each.get("stroke-dasharray") == "5 4"
    ]
    assert len(dashed) == 1 + 4
    words = " ".join(each.text or "" for each in drawn.iter("{http://www.w3.org/2000/svg}text"))
    assert "Simulated front end" in words
    assert "5th harmonic" in words
    assert "(?)" in words
    assert not [each for each in circles if each.get("fill") == "var(--harm)"]
    bad = replace(errors, rows=(replace(errors.rows[0], error_percent=5.0), *errors.rows[1:]))
    assert error_plot(bad).count("var(--harm)") == 1


@pytest.fixture
def walked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = walked(1)
    monkeypatch.setattr(Bench, "walk", lambda _bench: found)


@pytest.mark.usefixtures("walked_once")
def test_the_command_prints_the_table_and_draws_it(tmp_path: Path) -> None:
    file = tmp_path / "errors.svg"
    done = CliRunner().invoke(openami, ["meter", "errors", "--plot", str(file)])
    assert done.exit_code == 0, done.output
    assert "0.8 capacitive" in done.output
    assert "OUTSIDE" not in done.output
    assert file.read_text(encoding="utf-8").startswith("<svg")

    done = CliRunner().invoke(openami, ["meter", "errors", "--json"])
    found = json.loads(done.output)
    assert found["within"] is True
    assert len(found["errors"]) == len(walked(1).rows)
    assert {row["limit_sure"] for row in found["influences"]} == {False}


def test_the_documented_table_is_what_the_command_prints() -> None:
    document = Path(__file__).resolve().parents[3] / "docs" / "metrology.md"
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in document.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| [0-9.]+ \| [+-]", line)
    ]
    told = {
        (load, float(row[0])): (float(row[place]), float(row[place + 1].strip("±")))
        for row in rows
        for load, place in ((Load.UNITY, 1), (Load.INDUCTIVE, 3), (Load.CAPACITIVE, 5))
        if row[place]
    }
    measured = Bench(seed=1).walk().rows
    assert len(told) == len(measured)
    for row in measured:
        error, limit = told[row.load, row.current_in]
        assert error == pytest.approx(row.error_percent, abs=0.003)
        assert limit == row.limit_percent


@pytest.mark.usefixtures("walked_once")
def test_a_plot_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(openami, ["meter", "errors", "--plot", str(tmp_path / "no" / "x")])
    assert isinstance(done.exception, UserError)
    assert "name another file" in str(done.exception)


@pytest.mark.usefixtures("walked_once")
def test_a_chain_out_of_class_ends_with_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = walked(1)
    bad = replace(errors, rows=(replace(errors.rows[0], error_percent=5.0), *errors.rows[1:]))
    monkeypatch.setattr(Bench, "walk", lambda _bench: bad)
    done = CliRunner().invoke(openami, ["meter", "errors"])
    assert "OUTSIDE" in done.output
    assert isinstance(done.exception, UserError)
    assert "not within class 0.5 S" in str(done.exception)
    done = CliRunner().invoke(openami, ["meter", "errors", "--seed", "-1"])
    assert "-1 is no seed" in str(done.exception)
