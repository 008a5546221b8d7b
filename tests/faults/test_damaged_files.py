# SPDX-License-Identifier: Apache-2.0
"""Each file below `var`, damaged: a sentence with the remedy, or restored from the other side.

The files are those of an AMI that ran and was stopped.  What is configured or secret is refused
by name; what is state is set aside, and what it held comes again from who still has it.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from openami.exchange.channels import Channel
from system.ami import DAY_US, INSTALLED_US, Ami

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

METERS = 4
FULL, FLEET_METER = "meters/4F414D0000000001", "meters/4F414D0000000002"
NORTH = "concentrators/north"
LOG = "lake/readings/_delta_log"
RUNS_S = 60.0  # a process has spoken by then, or has refused

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut in half": lambda octets: octets[: len(octets) // 2],
    "zeroed": lambda octets: bytes(len(octets)),
    "random": lambda octets: Random(1).randbytes(max(64, len(octets))),
    "emptied": lambda _octets: b"",
}


@dataclass(frozen=True)
class Case:
    """A file, who reads it, and what is said of it."""

    file: str
    system: str
    home: str
    says: str  # in the sentence or in the log
    goes_on: bool = False
    damages: tuple[str, ...] = ("cut in half",)  # of a short run; a long one tries all

    def __str__(self) -> str:
        return f"{self.system}: {self.file}"


def tls(home: str, system: str, damages: tuple[str, ...] = ("cut in half",)) -> list[Case]:
    return [
        Case(f"{home}/ca.crt", system, home, "is no certificate authority", damages=damages),
        Case(f"{home}/tls.crt", system, home, "is no certificate of a device", damages=damages),
        Case(f"{home}/tls.key", system, home, "is no key for tls.crt", damages=damages),
    ]


BACKUP = "restore it from a backup"
CASES = [
    Case(f"{FULL}/device.toml", "meter", FULL, "correct it"),
    Case(f"{FULL}/keys.json", "meter", FULL, BACKUP),
    *tls(FULL, "meter", damages=()),
    Case(f"{FULL}/events.ring", "meter", FULL, "set aside", goes_on=True, damages=()),
    Case(f"{FULL}/profile.ring", "meter", FULL, "set aside", goes_on=True, damages=("random",)),
    Case(f"{FULL}/counters.cell", "meter", FULL, "set aside", goes_on=True, damages=("random",)),
    Case(f"{FULL}/management.cell", "meter", FULL, "set aside", goes_on=True, damages=()),
    Case(f"{FULL}/alarms.cell", "meter", FULL, "set aside", goes_on=True, damages=()),
    Case(
        f"{FULL}/metrology/metrology.journal",
        "meter",
        FULL,
        "set aside",
        goes_on=True,
        damages=("random",),
    ),
    Case(f"{FLEET_METER}/keys.json", "fleet", "fleet", BACKUP),
    Case("fleet/config.toml", "fleet", "fleet", "lacks the key 'meters'", damages=("emptied",)),
    Case(
        "fleet/management.journal", "fleet", "fleet", "set aside", goes_on=True, damages=("zeroed",)
    ),
    Case(
        "fleet/profile-1.blocks", "fleet", "fleet", "set aside", goes_on=True, damages=("random",)
    ),
    Case(f"{NORTH}/config.toml", "concentrator", NORTH, "correct it"),
    *tls(NORTH, "concentrator"),
    Case(f"{NORTH}/journal.db", "concentrator", NORTH, "damaged-1", goes_on=True),
    Case("headend/config.toml", "headend", "headend", "correct it"),
    Case("headend/shipment.json", "headend", "headend", "ask the manufacturer"),
    Case("headend/keystore/key-encryption.json", "headend", "headend", BACKUP),
    Case("openami.db", "headend", "headend", BACKUP, damages=("random",)),
    Case("openami.db", "mdm", "mdm", BACKUP),
    Case("openami.db", "web", "web", BACKUP, damages=("zeroed",)),
    Case("mdm/config.toml", "mdm", "mdm", "correct it", damages=("random",)),
    Case(f"{LOG}/{1:020}.json", "mdm", "mdm", "later entries build on it"),
    Case("clock.json", "fleet", "fleet", "begin a new calendar"),
    Case("web/config.toml", "web", "web", "run `openami up`", damages=("random",)),
]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return `var` of an AMI that ran for a day and was stopped."""
    with Ami(tmp_path_factory.mktemp("stopped"), meters=METERS, speed=1800) as ami:
        ami.until(lambda: ami.complete(INSTALLED_US + DAY_US), "the first day is stored", 120)
    shutil.rmtree(ami.layout.run)
    return ami.layout.var


@pytest.fixture
def var(stopped: Path, tmp_path: Path) -> Iterator[Path]:
    copy = tmp_path / "var"
    shutil.copytree(stopped, copy)
    yield copy
    shutil.rmtree(copy)


def attempt(var: Path, case: Case) -> tuple[int | None, str]:
    """Start the process; return its exit status, None if it works, and all that was said."""
    run = var / "run"
    run.mkdir(exist_ok=True)
    spoke = run / {"meter": "management.json", "concentrator": "concentrator-north.json"}.get(
        case.system, f"{case.system}.json"
    )
    command = [sys.executable, "-m", "openami", case.system, "run", "--home", str(var / case.home)]
    own = run / "stderr.log"
    with own.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline_s = time.monotonic() + RUNS_S
    while process.poll() is None and not spoke.exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    status = process.poll()
    if status is None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    return status, "".join(log.read_text(errors="replace") for log in run.glob("*.log"))


def damaged(case: Case, damage: str, var: Path) -> None:
    path = var / case.file
    if case.file.startswith(LOG):  # an AMI that ran for long has a checkpoint over older entries
        for over in [*path.parent.glob("*.checkpoint.parquet"), path.parent / "_last_checkpoint"]:
            over.unlink(missing_ok=True)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))


@pytest.mark.parametrize(
    ("case", "damage"),
    [(case, damage) for case in CASES for damage in case.damages],
    ids=lambda value: str(value).replace("/", "."),
)
def test_a_damaged_file_is_named_with_its_remedy(var: Path, case: Case, damage: str) -> None:
    damaged(case, damage, var)

    status, said = attempt(var, case)

    assert "Traceback" not in said
    sentences = [line for line in said.splitlines() if case.says in line]
    assert sentences, said
    assert Path(case.file).name in sentences[0]
    if case.goes_on:
        assert status is None, said
    else:
        assert status in {1, 2}
        assert (var / "run" / "stderr.log").read_text().count("openami: ") == 1, said


@pytest.mark.long
@pytest.mark.parametrize("damage", [*DAMAGES, "gone"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case).replace("/", "."))
def test_no_damage_ends_in_a_traceback(var: Path, case: Case, damage: str) -> None:
    if damage == "gone":
        (var / case.file).unlink()
    else:
        damaged(case, damage, var)

    status, said = attempt(var, case)

    assert "Traceback" not in said
    assert status in {None, 1, 2}
    if status is not None:
        assert (var / "run" / "stderr.log").read_text().count("openami: ") == 1


def test_what_was_damaged_comes_again_from_who_still_has_it(tmp_path: Path) -> None:
    """Rings, counters, states, a journal and the whole lake are spoilt while the AMI stands still.

    What the lake had is read from the meters' load profiles; what a profile had comes from
    metrology's journal.
    """
    with Ami(tmp_path, meters=METERS, speed=1800) as ami:
        ami.until(lambda: ami.complete(INSTALLED_US + DAY_US), "the first day is stored", 120)
        ami.stop()
        var = ami.layout.var
        for file in (f"{FULL}/profile.ring", f"{FULL}/events.ring", f"{FULL}/management.cell"):
            (var / file).write_bytes(DAMAGES["random"]((var / file).read_bytes()))
        (var / "fleet/management.journal").unlink()
        (var / "fleet/profile-1.blocks").write_bytes(DAMAGES["random"](bytes(5000)))
        (var / f"{NORTH}/journal.db").write_bytes(DAMAGES["random"](bytes(5000)))
        (var / "lake").rename(var / "lake.away")
        ami.start()

        end_us = ami.now_slot_us()
        ami.until(lambda: ami.complete(end_us), "everything is there again", 180)
        assert "days are counted anew" in (var / "run" / "mdm.log").read_text()
        assert "management.journal is gone" in (var / "run" / "fleet.log").read_text()
        assert ami.tracebacks() == {}
    for meter_id in range(1, METERS + 1):
        values = ami.stored(meter_id, Channel.IMPORT_WH, end_us)
        measured = {start: value for start, (value, _) in values.items()}
        assert measured == ami.expected(meter_id, INSTALLED_US, end_us)
