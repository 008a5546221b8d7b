# SPDX-License-Identifier: Apache-2.0
"""Meters as processes: kill -9 at each place while intervals close, and nothing is lost."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meter.plant import HISTORY_DAYS, HopProcess, Plant
from openami.cosem.classes.disconnect import DisconnectControl
from openami.cosem.client import ClientParameters
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.hls import Mechanism
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.keyset import KeySet
from openami.meter.config import MeterConfig
from openami.meter.objects import DISCONNECT, LOAD_PROFILE
from openami.transport.client import open_session
from openami.transport.url import Url

FAST = 3600.0  # an interval every half second
HISTORY = HISTORY_DAYS * 48

pytestmark = pytest.mark.faults


@asynccontextmanager
async def running(var: Path, *, meters: int) -> AsyncIterator[tuple[Plant, HopProcess]]:
    plant = Plant(var, meters=meters, speed=FAST)
    hop = HopProcess(plant)
    await hop.open()
    try:
        yield plant, hop
    finally:
        await asyncio.to_thread(plant.stop)
        await hop.close()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state == "Z"
    return True


def manager(plant: Plant) -> tuple[ClientParameters, CounterBlock]:
    config = MeterConfig.load(plant.meter_home(1))
    keys = KeySet(encryption_key=config.keys.guek, authentication_key=config.keys.gak)
    parameters = ClientParameters(
        client_sap=Sap(1),
        mechanism=Mechanism.HLS_GMAC,
        cipher=Cipher(keys),
        system_title=config.head_end_title,
        server_title=config.title,
    )
    return parameters, CounterBlock(1, 1000)


def test_the_full_meter_survives_every_kill(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, meters=1) as (plant, hop):
            backplane = plant.start_meter()

            def stored() -> int:
                return plant.figure("management", "intervals stored")

            await plant.until(lambda: stored() > HISTORY, "the history")
            for victim in ("metrology", "management"):
                before, pid = stored(), plant.pid(victim)
                plant.kill(victim)
                await plant.until(
                    lambda pid=pid, victim=victim: plant.pid(victim) != pid, f"new {victim}"
                )
                await plant.until(
                    lambda before=before: stored() > before + 2, f"intervals after {victim}"
                )
            children = [plant.pid("metrology"), plant.pid("management")]
            backplane.kill()
            await asyncio.to_thread(backplane.wait)
            await plant.until(lambda: all(map(gone, children)), "the end of both modules")
            before = stored()
            plant.start_meter()
            await plant.until(lambda: stored() > before + 2, "intervals after the backplane")
            read_wh = await _read_and_disconnect(plant)
            before = stored()
            await plant.until(lambda: stored() > before + 2, "dark intervals")
            await asyncio.to_thread(plant.stop)

            assert plant.verify(1, hop, first=len(read_wh)) > len(read_wh) > HISTORY + 6
            intervals = plant.ring(1)
            assert read_wh == [interval.import_wh for interval in intervals[: len(read_wh)]]
            assert intervals[-1].import_wh == 0
            assert not intervals[-1].breaker_closed

    asyncio.run(story())


async def _read_and_disconnect(plant: Plant) -> list[int]:
    """Read the profile over the plain listener, then open the breaker; return the Wh read."""
    parameters, counters = manager(plant)
    url = Url("tcp", "127.0.0.1", plant.plain_port)
    start = datetime.fromtimestamp(MeterConfig.load(plant.meter_home(1)).installed_s, UTC)
    end = datetime(2100, 1, 1, tzinfo=UTC)
    async with open_session(url, parameters, counters=counters) as meter:
        columns = decode_profile(await meter.run(meter.client.profile(LOAD_PROFILE, start, end)))
        act = meter.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT)
        await meter.run(act)
        # The answer waited for metrology, so what is read next is the breaker itself.
        state = meter.client.get(DisconnectControl.output_state, at=DISCONNECT)
        assert await meter.run(state) is False
    return [int(wh) for wh in columns.values[2]]


def test_a_fleet_survives_kills_and_a_silent_hop(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, meters=8) as (plant, hop):
            fleet = plant.start_fleet()

            def connected() -> bool:
                return plant.figure("fleet", "connected") == 7

            def drained() -> bool:
                return connected() and plant.figure("fleet", "pushes pending") == 0

            await plant.until(drained, "all meters attached and drained")
            for _ in range(2):
                fleet.kill()
                await asyncio.to_thread(fleet.wait)
                fleet = plant.start_fleet()
                await plant.until(drained, "a restarted fleet")
            await hop.close()
            await asyncio.sleep(2.0)
            await hop.open()
            await plant.until(drained, "what waited during the outage")
            await asyncio.to_thread(plant.stop)
            for meter_id in range(2, 9):
                assert plant.verify(meter_id, hop) > HISTORY + 4

    asyncio.run(story())


def test_damaged_files_of_a_fleet_are_set_aside(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, meters=3) as (plant, hop):
            fleet = plant.start_fleet()
            await plant.until(lambda: plant.figure("fleet", "receipts") > 3, "pushes")
            fleet.kill()
            await asyncio.to_thread(fleet.wait)
            for name in ("profile-1.blocks", "management.journal"):
                with (plant.layout.fleet / name).open("r+b") as file:
                    file.write(b"\x5a" * 20)

            plant.start_fleet()
            await plant.until(lambda: plant.figure("fleet", "connected") == 2, "a new start")
            await plant.until(lambda: plant.figure("fleet", "pushes pending") == 0, "pushes")
            await asyncio.to_thread(plant.stop)

            said = plant.said()
            assert "profile-1.blocks.damaged-1" in said
            assert "management.journal.damaged-1" in said
            assert "Traceback" not in said
            for meter_id in (2, 3):
                assert plant.verify(meter_id, hop) > HISTORY

    asyncio.run(story())


def test_wrong_configuration_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    plant = Plant(tmp_path, meters=2, speed=1.0)
    (plant.meter_home(1) / "keys.json").unlink()
    (plant.meter_home(2) / "device.toml").write_text("[meter]\n", encoding="utf-8")

    meter, fleet = plant.start_meter(), plant.start_fleet()

    assert meter.wait(30) == 2
    assert fleet.wait(30) == 2
    said = plant.said()
    assert "keys.json cannot be read" in said
    assert "device.toml lacks the key" in said
    assert "Traceback" not in said


def test_sigterm_stops_cleanly(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, meters=2) as (plant, hop):
            meter, fleet = plant.start_meter(), plant.start_fleet()
            await plant.until(lambda: plant.figure("fleet", "receipts") > 0, "the fleet")
            await plant.until(lambda: plant.figure("management", "receipts") > 0, "the meter")
            for process in (meter, fleet):
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 30) == 0
            assert plant.verify(1, hop) > HISTORY
            assert plant.verify(2, hop) > HISTORY
            assert "Traceback" not in plant.said()

    asyncio.run(story())
