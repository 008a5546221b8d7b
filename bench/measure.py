# SPDX-License-Identifier: Apache-2.0
"""How a figure is taken: the median of several rounds, the peer measured in the same round."""

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".venv-peers" / "bin" / "python"


def per_second(work: Callable[[int], object], seconds: float) -> float:
    """Repeat `work(i)` for about `seconds`; return times a second."""
    work(0)
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        for _ in range(16):
            count += 1
            work(count)
    return count / spent


class Peer:
    """A foreign implementation at work in a process of its own."""

    def __init__(self, script: str) -> None:
        if not PEERS.exists():
            raise SystemExit("the peers are missing: run `make setup-peers`")
        self._process = subprocess.Popen(
            [PEERS, ROOT / "bench" / "peers" / script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, task: str, **values: object) -> tuple[float, Any]:
        """Let the peer do one task; return its figure and what proves that it was done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"task": task, **values}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a peer ended while it did {task}")
        answer = json.loads(line)
        return answer["per_s"], answer["check"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()


@dataclass(slots=True)
class Row:
    """One line of the table: rounds of ours and of each peer."""

    name: str
    unit: str
    goal: str = ""
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
        pairs = zip(self.rounds["openami"], self.rounds[who], strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)
