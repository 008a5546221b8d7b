# SPDX-License-Identifier: Apache-2.0
"""A fleet in a process of its own, told what to do by lines of JSON.

It is the product's fleet without certificates: configurations and keys come from the meters'
numbers, the calendar stands where it is told, and meters listen on the loopback.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.measure import Helper
from bench.processes import memory_kib, peak_kib
from bench.street import CLIENT_TITLE, title
from openami.meter.config import MeterConfig, MeterKeys
from openami.meter.fleet import Fleet, make_room_for_descriptors
from openami.meter.fleet_listener import listen_plain
from openami.meter.load import INTERVAL_S
from openami.meter.management import Management
from openami.meter.serving import MeterLine
from openami.runtime.clock import FixedClock
from openami.transport.reconnect import Backoff
from openami.transport.tls import TlsIdentity
from openami.transport.url import Url
from openami.transport.wire import HEADER_OCTETS, Wire

INSTALLED_S: Final = 1_772_323_200  # 2026-03-01 UTC
SEED: Final = 1
LISTENING: Final = "127.0.0.0"
HELD_MOST: Final = 2000  # associations that stand at once: as many files are open at each end
SPARE_FILES: Final = 500


class FleetProcess(Helper):
    """The process, from outside."""

    def __init__(self) -> None:
        super().__init__(sys.executable, "-m", "bench.fleet_process")

    def do(self, what: str, **values: object) -> dict[str, Any]:
        """Let it do one thing; return what it says of it."""
        answer: dict[str, Any] = self.exchange({"do": what, **values})
        return answer


def config_of(folder: Path, number: int) -> MeterConfig:
    """Return the configuration of a meter without files."""
    home = folder / "meters" / f"{number}"
    keys = sha256(title(number)).digest()
    return MeterConfig(
        home=home,
        meter_id=number,
        title=title(number),
        installed_s=INSTALLED_S,
        capture_period_s=INTERVAL_S,
        seed=SEED,
        profile_days=60,
        ldn=f"OAM{number:013d}",
        uplink=Url("tcp", "127.0.0.1", 9),
        concentrator_title=b"OAM\xc0\x00\x00\x00\x01",
        head_end_title=CLIENT_TITLE,
        connect_timeout_s=10.0,
        backoff=Backoff(first_s=0.5, most_s=10.0),
        identity=TlsIdentity(home / "ca.crt", home / "tls.crt", home / "tls.key"),
        keys=MeterKeys(epoch=1, guek=keys[:16], gak=keys[16:], kek=keys[:16], lls=keys[16:]),
        keys_file=home / "keys.json",
        plain_listener=None,
        protected_listener=None,
        event_entries=512,
        push_first_s=5.0,
        push_most_s=60.0,
    )


class Counted(MeterLine):
    """A connection whose octets are counted, those of its frames."""

    total = 0

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        Counted.total += HEADER_OCTETS + len(apdu)
        super().frame(source, destination, apdu)

    @classmethod
    def of(cls, management: Management, wire: Wire) -> "Counted":
        """Return the line of a new connection."""
        return cls(management, wire, plain=True)


def count_what_is_sent() -> None:
    """Count the octets of all wires, at their class: counting is no memory of a meter."""
    send = Wire.send

    def counted(wire: Wire, source: int, destination: int, apdu: bytes) -> None:
        Counted.total += HEADER_OCTETS + len(apdu)
        send(wire, source, destination, apdu)

    Wire.send = counted  # type: ignore[method-assign]


class Yard:
    """What the process holds."""

    def __init__(self) -> None:
        self.clock = FixedClock(INSTALLED_S * 10**6)
        self.fleet: Fleet | None = None

    async def start(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Start `count` meters from `first` on, in `folder`, after so many `intervals`."""
        folder, first, count = Path(asked["folder"]), asked["first"], asked["count"]
        self.clock.set((INSTALLED_S + asked.get("intervals", 0) * INTERVAL_S) * 10**6)
        make_room_for_descriptors(min(count, HELD_MOST) + SPARE_FILES)
        configs = [config_of(folder, number) for number in range(first, first + count)]
        gc.collect()
        before, began, wall = memory_kib(), time.process_time(), time.perf_counter()
        self.fleet = Fleet(folder / f"fleet-{first}", configs, self.clock)
        spent, waited = time.process_time() - began, time.perf_counter() - wall
        base = Url("tcp", LISTENING, asked.get("port", 0))
        listener = await listen_plain(self.fleet.managements, base, Counted.of)
        return {
            "port": listener.url.port,
            "cpu_s": spent,
            "wall_s": waited,
            "kib": memory_kib() - before,
        }

    async def advance(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Let `intervals` pass, one after the other or all at once; return what they cost."""
        assert self.fleet is not None
        before, began, wall = self.fleet.closed, time.process_time(), time.perf_counter()
        step = asked["intervals"] if asked.get("at_once") else 1
        for _ in range(0, asked["intervals"], step):
            self.clock.set(self.clock.now_us() + step * INTERVAL_S * 10**6)
            self.fleet.step(0.0)
        spent = time.process_time() - began
        closed = self.fleet.closed - before
        return {"closed": closed, "cpu_s": spent, "wall_s": time.perf_counter() - wall}

    async def dump(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Write what the meters have between two ends of intervals, a meter, interval and channel.

        The file is an array of u32; a meter that lacks an interval is a fault.
        """
        assert self.fleet is not None
        first, last = asked["first_s"] // INTERVAL_S, asked["last_s"] // INTERVAL_S
        (metrology,) = self.fleet.metrologies
        profile = metrology.profile
        found = np.zeros((len(profile.ids), last - first + 1, 4), np.uint32)
        for column in range(len(profile.ids)):
            found[column] = profile.read(column, first, last)["values"]
        np.save(asked["path"], found)
        return {"values": found.size}

    async def cost(self, _asked: Mapping[str, Any]) -> dict[str, object]:
        """Return what the process has cost so far."""
        gc.collect()
        return {
            "cpu_s": time.process_time(),
            "kib": memory_kib(),
            "peak_kib": peak_kib(),
            "wire_octets": Counted.total,
        }


async def main() -> None:
    logging.basicConfig(level=logging.ERROR)  # it listens without TLS, and that is meant
    count_what_is_sent()
    yard = Yard()
    loop = asyncio.get_running_loop()
    done = {name: getattr(yard, name) for name in ("start", "advance", "dump", "cost")}
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        print(json.dumps(await done[asked["do"]](asked)), flush=True)
    os._exit(0)  # twenty thousand meters need not be taken apart one by one


if __name__ == "__main__":
    asyncio.run(main())
