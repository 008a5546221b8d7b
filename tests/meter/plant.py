# SPDX-License-Identifier: Apache-2.0
"""Meters as processes below a provisioned `var`, and a hop that confirms their pushes over TLS."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from factorystock import stock
from openami.cosem.asking.parameters import ClientParameters
from openami.cosem.classes.push import PushMessage
from openami.device.ring import Ring
from openami.dlms.apdu.notification import DataNotificationConfirm
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.envelopes import decode_envelope, open_envelope
from openami.dlms.security.keyset import KeySet
from openami.exchange.alarms import AlarmNotice, is_alarm
from openami.exchange.notice import EventNotice, is_notice
from openami.lifecycle.plan import Plan, meter_title
from openami.lifecycle.provision import provision
from openami.meter.config import MeterConfig
from openami.meter.fleet_metrology import profile_files
from openami.meter.fleet_profile import FleetProfile
from openami.meter.load import INTERVAL_S
from openami.meter.metrology import ClosedInterval
from openami.meter.profile import INTERVAL
from openami.meter.replay import ReplayedLoad
from openami.runtime.clock import CalendarState, boot_id
from openami.runtime.layout import Layout
from openami.transport.endpoint import Listener, listen
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, server_tls
from openami.transport.url import Url
from openami.transport.wire import Wire
from ports import free_port

HISTORY_DAYS = 2
MODULES = {"meter": ("meter", "metrology", "management"), "fleet": ("fleet",)}
PATIENCE_S = 60.0


class Plant:
    """A provisioned `var` with a running calendar.

    Attributes:
        manager: How the manager associates, where the meter's keys are no longer in its file.
    """

    manager: ClientParameters | None = None

    def __init__(self, var: Path, *, meters: int, speed: float) -> None:
        self.layout = Layout(var)
        self.plain_port = free_port()
        self.hop_port = free_port()
        installed_us = 1_790_000_000 // INTERVAL_S * INTERVAL_S * 10**6
        plan = Plan(
            meters=meters,
            regions=("north",),
            installed_us=installed_us,
            concentrator_port=self.hop_port,
            plain_listener=f"tcp://127.0.0.1:{self.plain_port}",
        )
        self.plan = plan
        provision(self.layout, plan, lambda *_: None)
        stock(self.layout, concentrators=False)
        self.set_clock(installed_us + HISTORY_DAYS * 86_400 * 10**6, speed)
        self._processes: list[subprocess.Popen[bytes]] = []

    def set_clock(self, base_us: int, speed: float) -> None:
        CalendarState(
            base_us=base_us,
            epoch_monotonic_s=time.monotonic(),
            speed=speed,
            running=True,
            boot=boot_id(),
        ).store(self.layout.clock)

    def meter_home(self, meter_id: int) -> Path:
        return self.layout.meter(meter_title(meter_id))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `openami ARGUMENTS`; what it says goes to a file beside the status files."""
        self.layout.run.mkdir(parents=True, exist_ok=True)
        for name in MODULES[arguments[0]]:
            (self.layout.run / f"{name}.json").unlink(missing_ok=True)
        with (self.layout.run / f"{arguments[0]}-{len(self._processes)}.said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "openami", *arguments],
                stdout=said,
                stderr=said,
                env=os.environ | {"PYTHONPATH": str(Path("src").resolve())},
            )
        self._processes.append(process)
        return process

    def start_meter(self) -> subprocess.Popen[bytes]:
        return self.start("meter", "run", "--home", str(self.meter_home(1)))

    def start_fleet(self) -> subprocess.Popen[bytes]:
        return self.start("fleet", "run", "--home", str(self.layout.fleet))

    def stop(self) -> None:
        """Stop what runs, in order."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
        for process in self._processes:
            process.wait(PATIENCE_S)

    def said(self) -> str:
        """Return everything that processes wrote, for a failing assertion."""
        files = [*self.layout.run.glob("*.said"), *self.layout.run.glob("*.log")]
        return "\n".join(f"{file.name}:\n{file.read_text()}" for file in files)

    def figure(self, process: str, name: str) -> int:
        """Return a figure of a process's status; -1 while there is none."""
        try:
            said = json.loads((self.layout.run / f"{process}.json").read_text())
            return int(said["figures"][name])
        except (OSError, ValueError, KeyError):
            return -1

    def pid(self, process: str) -> int:
        pid: int = json.loads((self.layout.run / f"{process}.json").read_text())["pid"]
        return pid

    def kill(self, process: str) -> None:
        """Kill -9 a process that has a status file."""
        os.kill(self.pid(process), signal.SIGKILL)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` holds."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{what} did not come about\n{self.said()}"
            await asyncio.sleep(0.05)

    def ring(self, meter_id: int) -> list[ClosedInterval]:
        """Return the intervals in a stopped meter's load profile."""
        config = MeterConfig.load(self.meter_home(meter_id))
        if not (config.home / "profile.ring").exists():
            return self._column(meter_id)
        ring, finding = Ring.open(
            config.home / "profile.ring",
            payload_octets=INTERVAL.itemsize,
            capacity=config.profile_entries,
        )
        assert finding is None
        assert not ring.holes
        found = [ClosedInterval.decode(bytes(row)) for row in ring.read(ring.first, ring.last)]
        ring.close()
        return found

    def _column(self, meter_id: int) -> list[ClosedInterval]:
        profile, finding = FleetProfile.open(profile_files(self.layout.fleet)[-1])
        assert profile is not None
        assert finding is None
        rows = profile.read(profile.ids.index(meter_id), profile.oldest, profile.newest)
        profile.close()
        assert not profile.holes
        return [ClosedInterval.decode(row.tobytes()) for row in rows]

    def verify(self, meter_id: int, hop: "HopProcess", *, first: int | None = None) -> int:
        """Check a meter's first intervals and its pushes value by value; return how many it has.

        Without `first` it checks all of them.
        """
        config = MeterConfig.load(self.meter_home(meter_id))
        load = ReplayedLoad(meter_id, 1)
        whole = self.ring(meter_id)
        intervals = whole[:first]
        register_wh = 0
        for number, interval in enumerate(intervals, 1):
            assert interval.sequence == number
            assert interval.end_s == config.installed_s + number * INTERVAL_S
            assert interval.import_wh == load.interval_wh(interval.end_s - INTERVAL_S)
            register_wh += interval.import_wh
            assert interval.import_register_wh == register_wh
        by_end = {interval.end_s: interval.import_wh for interval in whole}
        pushed = hop.rows[config.title]
        assert pushed.items() <= by_end.items()
        assert sorted(pushed) == [interval.end_s for interval in whole[: len(pushed)]]
        return len(whole)


class HopProcess:
    """Stands in for a concentrator: takes pushes over TLS, opens them, confirms.

    Attributes:
        rows: By meter title: end of interval in seconds to Wh.
    """

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self.keys: dict[bytes, KeySet] = {}
        self.rows: dict[bytes, dict[int, int]] = {}
        self.notices: dict[bytes, list[EventNotice]] = {}
        self.alarms: dict[bytes, list[AlarmNotice]] = {}
        self._listener: Listener | None = None

    async def open(self) -> None:
        home = self._plant.layout.concentrator("north")
        identity = TlsIdentity(home / "ca.crt", home / "tls.crt", home / "tls.key")
        expected = Expected(roles=frozenset({Role.METER}))
        self._listener = await listen(
            Url("tls", "127.0.0.1", self._plant.hop_port),
            lambda wire: _HopLine(self, wire),
            secured=Secured(server_tls(identity), expected),
        )

    async def close(self) -> None:
        if self._listener is not None:
            await self._listener.close()
            self._listener = None

    def know(self, title: bytes) -> None:
        """Take a meter's keys from its `keys.json`."""
        keys = MeterConfig.load(self._plant.layout.meter(title)).keys
        assert keys is not None
        self.keys[title] = KeySet(encryption_key=keys.guek, authentication_key=keys.gak)

    def take(self, title: bytes, apdu: bytes) -> bytes:
        """Take a push; return the receipt."""
        if title not in self.keys:
            self.know(title)
        keys = self.keys[title]
        plain, _ = open_envelope(Cipher(keys), decode_envelope(apdu))
        if is_notice(plain):
            self.notices.setdefault(title, []).append(EventNotice.decode(plain))
            return b"\x10" + plain[1:5] + b"\x00"
        if is_alarm(plain):
            self.alarms.setdefault(title, []).append(AlarmNotice.decode(plain))
            return b"\x10" + plain[1:5] + b"\x00"
        message = PushMessage.decode(plain)
        columns = decode_profile(message.rows)
        rows = self.rows.setdefault(title, {})
        assert columns.times_us is not None
        for end_us, wh in zip(columns.times_us, columns.values[2], strict=True):
            assert rows.setdefault(int(end_us) // 10**6, int(wh)) == wh
        return DataNotificationConfirm(
            long_invoke_id_and_priority=message.long_invoke_id_and_priority
        ).encode()


class _HopLine:
    def __init__(self, hop: HopProcess, wire: Wire) -> None:
        self._hop, self._wire = hop, wire

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        assert (source, destination) == (1, 64)
        assert self._wire.peer is not None
        self._wire.send(64, 1, self._hop.take(self._wire.peer.title, apdu))

    def closed(self, reason: str) -> None:
        pass
