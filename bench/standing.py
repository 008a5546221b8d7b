# SPDX-License-Identifier: Apache-2.0
"""Meters that stand: many mutual TLS connections held at once, and what they cost both ends.

`python -m bench.standing --connections 20000` opens them from many addresses of the loopback, so
that ports do not run out, each with a frame both ways; then all send at once, to show that each is
alive.  It takes minutes, and is no part of `make bench`.
"""

import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from bench.identities import Identities
from bench.measure import Server, same

SPARE_FILES: Final = 200
FIRST: Final = 10  # connections before the first look
STEP: Final = 500
MIB: Final = 1024 * 1024


def raise_limit(wanted: int) -> None:
    """Let this process and those it starts open so many files, or say what is to be done."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
    except (ValueError, OSError) as error:
        sentence = f"{wanted} open files are needed and {hard} allowed: run `ulimit -n {wanted}`"
        raise click.ClickException(f"{sentence} as root before ({error})") from error


@dataclass(frozen=True, slots=True)
class Pair:
    """A listener's process and a dialler's."""

    there: Server
    here: Server
    asked: dict[str, object]

    @classmethod
    def start(cls, stack: ExitStack, identities: Identities, options: dict[str, object]) -> "Pair":
        there, here = stack.enter_context(Server()), stack.enter_context(Server())
        (port,) = there.serve("mirror", **identities.concentrator_listens(), **options)
        pair = cls(there, here, {**identities.meter_files(), **options, "port": port})
        pair.open(FIRST)
        return pair

    def open(self, count: int) -> None:
        """Open more connections; each carries a frame both ways."""
        for share in [STEP] * (count // STEP) + [count % STEP] * (count % STEP > 0):
            self.here.exchange({"serve": "standing", **self.asked, "count": share})

    def ask_again(self) -> int:
        """Return how many connections still answer."""
        (answered,) = self.here.serve("standing again")
        return answered

    def resident(self) -> tuple[int, int]:
        return self.there.resident_octets(), self.here.resident_octets()


@click.command()
@click.option("--connections", default=20_000, show_default=True, type=click.IntRange(1))
@click.option("--pairs", default=2, show_default=True, help="Of processes that share them.")
@click.option("--addresses", default=8, show_default=True, help="Of the loopback, to dial from.")
@click.option("--version", type=click.Choice(["TLS 1.2", "TLS 1.3"]))
@click.option("--own", is_flag=True, help="Settings of its own for each meter, as in a fleet.")
def main(*, connections: int, pairs: int, addresses: int, version: str | None, own: bool) -> None:
    """Hold many meters' connections and say what they cost."""
    share = -(-connections // pairs)
    raise_limit(share + SPARE_FILES)
    options: dict[str, object] = {"own": own, "addresses": addresses}
    if version:
        options["versions"] = [version]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(pairs))
        identities = Identities(Path(folder))
        started = [Pair.start(stack, identities, options) for _ in range(pairs)]
        before = [pair.resident() for pair in started]
        began = time.perf_counter()
        list(threads.map(lambda pair: pair.open(share), started))
        opened_s = time.perf_counter() - began
        began = time.perf_counter()
        answered = sum(threads.map(Pair.ask_again, started))
        answered_s = time.perf_counter() - began
        same(answered, (share + FIRST) * pairs, "connections that are alive")
        after = [pair.resident() for pair in started]
    count = share * pairs
    grown = [sum(row[end] for row in after) - sum(row[end] for row in before) for end in (0, 1)]
    figures = {
        "connections held at once": count,
        "handshakes a second": round(count / opened_s),
        "KiB a connection, listener": round(grown[0] / count / 1024, 1),
        "KiB a connection, dialler": round(grown[1] / count / 1024, 1),
        "MiB resident, both ends": round(sum(map(sum, after)) / MIB),
        "seconds for a frame each way of all": round(answered_s, 1),
    }
    for name, figure in figures.items():
        print(f"{figure:>10,}  {name}")


if __name__ == "__main__":
    main()
