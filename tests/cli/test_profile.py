# SPDX-License-Identifier: Apache-2.0
"""`openami profile`: slices, files, going on after the process was killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from cli.runs import Run
from cli.served_meter import ADDRESS, HDLC, TCP, ServedMeter
from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import DataAccessResult
from playbooks.demo_meter import LOAD_PROFILE, PASSWORD, DemoMeter

WHO = ("--client", 32, "--secret", PASSWORD.decode(), *ADDRESS)
SINCE = ("--from", "2013-03-01", "--to", "2013-03-03T02:00")
PATIENCE_S = 20.0


@pytest.fixture(params=[TCP, HDLC], ids=["tcp", "hdlc"])
def served(request: pytest.FixtureRequest) -> Iterator[ServedMeter]:
    with ServedMeter(request.param) as meter:
        yield meter


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_all_rows_as_a_table(served: ServedMeter, openami: Run) -> None:
    outcome = openami("profile", served.url, *WHO)
    assert outcome.status == 0, outcome.err
    lines = outcome.out.splitlines()
    assert lines[0].startswith("1  0.0.96.10.1.255 ")
    assert lines[3].split() == ["2013-03-01T00:30:00Z", "0", "1000"]
    assert lines[-2].split() == ["2013-03-03T02:00:00Z", "0", "1099"]
    assert lines[-1] == "100 rows"
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_rows_go_into_files_and_go_on(
    suffix: str, served: ServedMeter, openami: Run, tmp_path: Path
) -> None:
    part, whole = tmp_path / f"part{suffix}", tmp_path / f"whole{suffix}"
    outcome = openami("profile", served.url, *WHO, *SINCE, "-o", whole)
    assert outcome.status == 0, outcome.err
    assert outcome.err == f"100 rows read, 100 in {whole}\n"

    until_noon = ("--from", "2013-03-01", "--to", "2013-03-01T12:00")
    assert openami("profile", served.url, *WHO, *until_noon, "-o", part).status == 0
    outcome = openami("profile", served.url, *WHO, *SINCE, "-o", part, "--resume")
    assert outcome.err == f"76 rows read, 100 in {part}\n"
    if suffix == ".parquet":
        frame = pl.read_parquet(whole)
        assert frame.equals(pl.read_parquet(part))
        assert frame.columns[0] == "time"
        assert frame["time"].dtype == pl.Datetime("us", "UTC")
        told = json.loads(pl.read_parquet_metadata(whole)["columns"])
        assert told[2]["scaler"] == 0
    else:
        assert part.read_bytes() == whole.read_bytes()


def test_the_columns_of_a_file_are_named(served: ServedMeter, openami: Run, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert openami("profile", served.url, *WHO, "-o", path, "--slice-hours", 5).status == 0
    rows = rows_of(path)
    assert rows[0][0] == "time"
    assert rows[0][2].startswith("1.0.1.8.0.255 ")
    assert rows[0][2].endswith(" [Wh]")
    assert len(rows) == 101


def test_some_columns_by_range_and_by_number(served: ServedMeter, openami: Run) -> None:
    only = ("--column", "1.0.1.8.0.255", "--json")
    for which in (("--entries", "49-50"), ("--from", "2013-03-02T00:30", "--to", "2013-03-02T01")):
        outcome = openami("profile", served.url, *WHO, *which, *only)
        assert outcome.status == 0, outcome.err
        said = json.loads(outcome.out)
        assert [column["unit"] for column in said["columns"]] == ["", "Wh"]
        assert said["rows"] == [["2013-03-02T00:30:00Z", 1048], ["2013-03-02T01:00:00Z", 1049]]


def test_a_meter_without_selection_gives_all(openami: Run) -> None:
    def refuse(_access: object) -> bytes:
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)

    meter = DemoMeter()
    meter[LOAD_PROFILE].bind_selection(ProfileGeneric.buffer, refuse)
    with ServedMeter(TCP, meter=meter) as served:
        outcome = openami("profile", served.url, *WHO, "--csv")
        assert outcome.status == 0, outcome.err
        assert len(outcome.out.splitlines()) == 101
        outcome = openami("profile", served.url, *WHO, "--from", "2013-03-01")
    assert outcome.status == 1
    assert "scope-of-access-violated" in outcome.sentence


def start(url: object, path: Path) -> "subprocess.Popen[str]":
    words = ["profile", url, *WHO, *SINCE, "--slice-hours", "0.5", "-o", path]
    process = subprocess.Popen(
        [sys.executable, "-m", "openami", *map(str, words)], stderr=subprocess.PIPE, text=True
    )
    until = time.monotonic() + PATIENCE_S
    while not path.exists() or path.read_bytes().count(b"\n") < 10:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    return process


class Slow:
    """Takes its time for each answer, and remembers the tags."""

    def __init__(self) -> None:
        self.tags: list[int] = []
        self.pause_s = 0.03

    def __call__(self, answer: bytes) -> bytes:
        self.tags.append(answer[0])
        time.sleep(self.pause_s)
        return answer


def test_a_killed_reading_goes_on_where_its_file_ends(openami: Run, tmp_path: Path) -> None:
    path, whole = tmp_path / "rows.csv", tmp_path / "whole.csv"
    slow = Slow()
    with ServedMeter(TCP, spoil=slow) as served:
        process = start(served.url, path)
        process.kill()
        process.communicate()
        slow.pause_s = 0
        with path.open("a") as file:
            file.write("2013-03-01T2")  # a row that was cut off
        before = path.read_bytes().count(b"\n")
        outcome = openami("profile", served.url, *WHO, *SINCE, "-o", path, "--resume")
        assert outcome.status == 0, outcome.err
        assert before < 101
        assert openami("profile", served.url, *WHO, *SINCE, "-o", whole).status == 0
    assert path.read_bytes() == whole.read_bytes()


def test_ctrl_c_leaves_a_released_association_and_whole_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    slow = Slow()
    with ServedMeter(TCP, spoil=slow) as served:
        process = start(served.url, path)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "not all rows were read: interrupted; go on with --resume" in err
    assert "Traceback" not in err
    assert slow.tags[-1] == 0x63  # the answer to the release
    assert path.read_bytes().endswith(b"\n")
    assert 10 <= len(rows_of(path)) < 101


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--from", "soon"], "--from 'soon' is no time"),
        (["--from", "2013-03-02", "--to", "2013-03-01"], "--from is later than --to"),
        (["--entries", "5-1"], "--entries '5-1' is no range"),
        (["--entries", "1-5", "--from", "2013-03-01"], "say different things"),
        (["--resume"], "--resume goes on with a file: give --output"),
        (["-o", "rows.xlsx"], "rows.xlsx has no known suffix: use one of .csv, .json, .parquet"),
        (["--column", "1.0.9.9.9.255"], "has no column 1.0.9.9.9.255: it has 0.0.1.0.0.255, "),
        (["1.0.99.1"], "'1.0.99.1' is no OBIS code"),
    ],
)
def test_asked_wrongly(words: list[str], sentence: str, openami: Run) -> None:
    with ServedMeter(TCP) as served:
        outcome = openami("profile", served.url, *words, *WHO)
    assert outcome.status == 2
    assert sentence in outcome.sentence


def test_a_file_of_something_else_is_left_alone(openami: Run, tmp_path: Path) -> None:
    with ServedMeter(TCP) as served:
        for suffix, content in ((".csv", "a,b\n1,2\n"), (".json", "{}"), (".parquet", "no")):
            path = tmp_path / f"other{suffix}"
            path.write_text(content)
            outcome = openami("profile", served.url, *WHO, "-o", path)
            assert "is there already: give --resume" in outcome.sentence
            outcome = openami("profile", served.url, *WHO, "-o", path, "--resume")
            assert outcome.status == 2
            assert str(path) in outcome.sentence
            assert path.read_text() == content
