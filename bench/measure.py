# SPDX-License-Identifier: Apache-2.0
"""How a figure is taken: the median of several rounds, the peer measured in the same round."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parent.parent
PEERS: Final = ROOT / ".venv-peers" / "bin" / "python"

OURS: Final = "openami"
GURUX: Final = "gurux-dlms"
DLMS_COSEM: Final = "dlms-cosem"
OPENSSL: Final = "openssl"
BARE: Final = "bare asyncio"
FRESH: Final = "bare asyncio, new"
"""The same in processes that did nothing before: what a first run of it shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How long and how large a run is."""

    rounds: int = 7
    seconds: float = 0.5  # of one figure in one round
    meters: int = 200  # in the server process of full reads
    connections: int = 500  # held at once for memory
    associations: int = 1000  # held at once, for memory
    messages: int = 4000  # in the inbox, of each kind
    lake_meters: int = 3000
    lake_days: int = 30
    fleet_meters: int = 1000  # in one process
    blackout_meters: int = 10_000  # without supply at once


FULL: Final = Scale()
QUICK: Final = Scale(
    rounds=2,
    seconds=0.05,
    meters=8,
    connections=16,
    associations=20,
    messages=100,
    lake_meters=50,
    lake_days=3,
    fleet_meters=20,
    blackout_meters=96,
)


def per_second(work: Callable[[int], object], seconds: float) -> float:
    """Repeat `work(i)` for about `seconds`; return times a second."""
    work(0)
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for _ in range(16):
            count += 1
            work(count)
    return count / spent


def same(found: object, wanted: object, what: str) -> None:
    """Hold a result to what it must be; a figure whose work is wrong is no figure."""
    if found != wanted:
        raise SystemExit(f"{what} gave {found!r}, not {wanted!r}: no figure is taken from it")


class Helper:
    """A process that answers one line of JSON with one line of JSON."""

    def __init__(self, *command: str | Path) -> None:
        self._name = " ".join(str(part) for part in command[1:])
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def exchange(self, asked: Mapping[str, object]) -> Any:  # noqa: ANN401  JSON
        """Send one request and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._name} ended while it was asked for {dict(asked)}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


class Peer(Helper):
    """A foreign implementation at work in a process of its own."""

    def __init__(self, script: str) -> None:
        if not PEERS.exists():
            raise SystemExit("the peers are missing: run `make setup-peers`")
        super().__init__(PEERS, ROOT / "bench" / "peers" / script)

    def ask(self, task: str, **values: object) -> tuple[float, Any]:
        """Let the peer do one task; return its figure and what proves that it was done."""
        answer = self.exchange({"task": task, **values})
        return answer["per_s"], answer["check"]


class Server(Helper):
    """A process of ours that serves (`bench.serving`)."""

    def __init__(self) -> None:
        super().__init__(sys.executable, "-m", "bench.serving")

    def serve(self, what: str, **values: object) -> list[int]:
        """Open listeners; return their ports."""
        ports: list[int] = self.exchange({"serve": what, **values})["ports"]
        return ports

    def resident_octets(self) -> int:
        """Return the resident set size of the process."""
        return int(self.exchange({"serve": "resident"})["octets"])


def fresh_echo(asker: str, request: int, answer: int, seconds: float) -> float:
    """Return round trips a second of the bare echo, both ends in new processes."""
    with Server() as server, Server() as clients:
        (port,) = server.serve("echo", answer=bytes(answer).hex())
        (found,) = clients.serve(asker, port=port, request=request, answer=answer, seconds=seconds)
    return found


@contextmanager
def awake() -> Iterator[None]:
    """Keep every core from falling asleep, by work that gives way to any other.

    A virtual core that has nothing to do between two frames is taken away by its host, and what it
    costs to wake it depends on how long it slept: that measures the host.
    """
    spinners = [
        subprocess.Popen((sys.executable, "-c", SPIN)) for _ in range(len(os.sched_getaffinity(0)))
    ]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


SPIN: Final = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while os.getppid() > 1:
    for _ in range(1_000_000):
        pass
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What ours is to reach: a figure, or a part of what another party reaches in the same round.

    Attributes:
        figure: At least this much; at most, where less is better.
        beside: Whose figure is meant; None for ours alone.
    """

    figure: float
    beside: str | None = None


@dataclass(slots=True)
class Row:
    """One line of the table: rounds of ours and of each party beside us."""

    name: str
    unit: str
    goal: Goal | None = None
    note: str = ""
    less_is_better: bool = False
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figures: Mapping[str, float]) -> None:
        """Add one round."""
        for who, figure in figures.items():
            self.rounds.setdefault(who, []).append(figure)

    def median(self, who: str) -> float | None:
        """Return the median figure of one party."""
        return statistics.median(self.rounds[who]) if who in self.rounds else None

    def ratio(self, who: str) -> float | None:
        """Return the median of ours divided by theirs, round by round."""
        if who not in self.rounds:
            return None
        pairs = zip(self.rounds[OURS], self.rounds[who], strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def reached(self) -> bool | None:
        """Tell whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        beside = self.goal.beside
        found = self.median(OURS) if beside is None else self.ratio(beside)
        if found is None:
            return None
        return found <= self.goal.figure if self.less_is_better else found >= self.goal.figure
