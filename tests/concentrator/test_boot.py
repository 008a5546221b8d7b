# SPDX-License-Identifier: Apache-2.0
"""The concentrator's own firmware: booted, updated while meters push, and what is refused."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from chain import CONCENTRATOR, until
from concentrator.booted import CRASH, HANG, Booted, bad_image, booted
from loops import in_loop
from openami.cli.concentrator import concentrator
from openami.concentrator.own.banks import open_flash
from openami.concentrator.own.objects import firmware_state
from openami.cosem.asking import image as asking
from openami.cosem.classes.measurement import Data
from openami.cosem.refusals import AccessError
from openami.device.images import FIRMWARE_SIGNATURE
from openami.dlms.data import DoubleLongUnsigned
from openami.exchange.field import NoticeCode
from openami.firmware.bank import Bank
from openami.firmware.state import UpdateState
from openami.runtime.errors import UserError
from openami.store import field, outages

pytestmark = pytest.mark.faults


@in_loop
async def test_an_update_over_the_uplink_loses_nothing_that_meters_push(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with booted(tmp_path, meters=2) as found:
        await found.says("0.1.0+0 in bank A")
        assert found.state.counter == 1
        pushing = asyncio.create_task(found.keep_pushing(1))
        await until(lambda: len(found.chain.stored()) > 2)

        assert await found.send(found.image("0.2.0", 2)) > 100
        await found.says("0.2.0+0 in bank B")
        assert found.state.counter == 2
        await until(lambda: found.chain.headend.uplinks.up == 1)
        before = len(found.chain.stored())
        await until(lambda: len(found.chain.stored()) > before + 2)
        pushing.cancel()
        meter = found.chain.meters[1]
        await until(lambda: not meter.outbox)
        await until(lambda: len(found.chain.stored()) == found.pushed)

        await until(lambda: found.told.counter == 2 and not found.told.trial)
        assert (found.told.version, found.told.bank) == ("0.2.0+0", 1)
        session, client = found.session()
        await session.run(client.associate())
        status = await session.run(asking.status(client))
        digest = await session.run(client.get(Data.value, at=FIRMWARE_SIGNATURE))
        assert bytes(digest) == found.told.digest
        values = [await session.run(client.get(Data.value, at=firmware_state(n))) for n in range(5)]
        assert values == [2, 1, False, UpdateState.UPDATED, ""]
        assert "does not run" not in caplog.text
        with pytest.raises(AccessError):  # nothing else can be written
            await session.run(client.set(Data.value, DoubleLongUnsigned(0), at=firmware_state(0)))
        assert status.name == "ACTIVATION_SUCCESSFUL"
        await until(lambda: NoticeCode.FIRMWARE_CONFIRMED in told(found))
        codes = told(found)  # that it goes was known before it was gone
        assert codes.index(NoticeCode.RESTARTING) < codes.index(NoticeCode.STOPPED)
        assert outages.open_outages(found.chain.engine) == []


def told(found: Booted) -> list[int]:
    """Return the codes of what the head-end was told, in order."""
    return [n.code for n in reversed(field.notices(found.chain.engine, CONCENTRATOR))]


@pytest.mark.long
@in_loop
async def test_firmware_that_crashes_is_left_and_a_running_concentrator_is_not_written_over(
    tmp_path: Path,
) -> None:
    async with booted(tmp_path) as found:
        await found.says("0.1.0+0 in bank A")
        file = tmp_path / "crash.bin"
        file.write_bytes(bad_image(found, CRASH).encode())
        words = ["install", "--home", str(found.home), str(file)]
        refused = await asyncio.to_thread(CliRunner().invoke, concentrator, words)
        assert "runs: stop it" in str(refused.exception)
        await found.launcher.end()
        done = await asyncio.to_thread(CliRunner().invoke, concentrator, words)
        assert "version 0.3.0+0, security counter 3: tried at next start" in done.output
        found.start()
        await until(lambda: found.figures.get("firmware problem") == "not-confirmed")
        await found.says("0.1.0+0 in bank A")
        assert found.state.counter == 1
        await until(lambda: NoticeCode.FIRMWARE_CRASHED in told(found))


@pytest.mark.long
@in_loop
async def test_firmware_that_hangs_or_has_no_uplink_is_left(tmp_path: Path) -> None:
    async with booted(tmp_path, trial_s=4.0) as found:
        await found.says("0.1.0+0 in bank A")
        await found.send(bad_image(found, HANG))
        await until(lambda: found.figures.get("firmware problem") == "not-confirmed")
        await found.says("0.1.0+0 in bank A")
        await until(lambda: found.chain.headend.uplinks.up == 1)
        await until(lambda: NoticeCode.FIRMWARE_HUNG in told(found))

        await found.send(found.image("0.2.0", 2))
        await found.chain.headend_ends()  # the uplink was there before, and does not come back
        await until(lambda: found.figures.get("firmware problem") == "uplink")
        await found.says("0.1.0+0 in bank A")
        assert found.state.counter == 1
        await found.chain.start_headend()
        await until(lambda: NoticeCode.FIRMWARE_REJECTED in told(found))


@pytest.mark.long
@in_loop
async def test_a_transfer_goes_on_after_the_concentrator_was_killed(tmp_path: Path) -> None:
    async with booted(tmp_path) as found:
        await found.says("0.1.0+0 in bank A")
        octets = found.image("0.2.0", 2).encode()
        blocks = -(-len(octets) // 1024)
        session, client = found.session()
        await session.run(client.associate())
        await session.run(asking.initiate(client, b"next", len(octets)))
        for number in range(40):
            await session.run(asking.send_block(client, octets, number, 1024))
        found.kill()
        await until(lambda: found.chain.headend.uplinks.up == 0)
        await until(lambda: found.chain.headend.uplinks.up == 1)
        assert await found.send(found.image("0.2.0", 2)) == blocks - 40
        await found.says("0.2.0+0 in bank B")


@pytest.mark.long
@in_loop
async def test_a_launcher_says_why_nothing_runs_and_goes_on_when_it_may(tmp_path: Path) -> None:
    async with booted(tmp_path, trial_s=30.0) as found:
        await found.says("0.1.0+0 in bank A")
        await found.launcher.end()
        flash = found.home / "secure" / "flash.bin"
        whole = flash.read_bytes()
        spoiled = bytearray(whole)
        _, flash_map = open_flash(found.home)
        spoiled[flash_map.slot(Bank.A).offset + 0x210] ^= 1
        flash.write_bytes(spoiled)
        found.start()
        await until(lambda: "none: no firmware runs" in str(found.figures.get("firmware")))
        assert "openami concentrator install" in str(found.figures["alarm"])
        file = tmp_path / "again.bin"
        file.write_bytes(found.image("0.1.1", 1).encode())
        words = ["install", "--home", str(found.home), str(file)]
        done = await asyncio.to_thread(CliRunner().invoke, concentrator, words)
        assert "tried at next start" in done.output, done.exception
        await found.says("0.1.1+0 in bank B")

        await found.launcher.end()
        config = found.home / "config.toml"
        config.write_text(config.read_text("utf-8") + "bank_octets = 1000001\n", "utf-8")
        found.start()
        with pytest.raises(UserError, match="bank_octets"):
            await found.launcher.task
        config.write_text(config.read_text("utf-8").replace("bank_octets = 1000001\n", ""), "utf-8")
        found.start()
        await found.says("0.1.1+0 in bank B")
