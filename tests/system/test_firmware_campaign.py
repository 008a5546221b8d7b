# SPDX-License-Identifier: Apache-2.0
"""A firmware campaign over full meters as processes: what boots is real, what reverts too.

Three meters with their own flash, boot and metrology hang on a concentrator and a head-end, all
processes.  A release whose self-test fails stops at its canary; a good one then reaches all.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import text

from openami.cli.main import openami
from openami.cosem.classes.time_event import Clock as CosemClock
from openami.cosem.client import ClientParameters
from openami.device.factory import FACTORY_IMAGE, SIGNING_KEY
from openami.device.payload.container import Payload
from openami.device.payload.pack import pack
from openami.device.payload.parts import MANAGEMENT
from openami.device.payload.release import Release
from openami.device.payload.sources import Library, here
from openami.dlms.sap import PUBLIC_CLIENT
from openami.exchange.campaign import Act, CampaignState, MeterState
from openami.exchange.commands import CommandKind, CommandState, Priority
from openami.firmware.image import Image, Version
from openami.firmware.keys import private_key
from openami.firmware.sign import recipe_of, sign
from openami.lifecycle.plan import Plan, meter_title
from openami.lifecycle.provision import provision
from openami.meter.config import MeterConfig
from openami.meter.objects import CLOCK
from openami.meter.run import from_factory
from openami.runtime.clock import CalendarState, boot_id
from openami.runtime.layout import Layout
from openami.store import campaign_meters, campaigns, commands, registry
from openami.store.campaign_meters import Target
from openami.store.database import open_database, transaction
from openami.transport.client import open_session
from openami.transport.url import Url
from ports import free_ports

if TYPE_CHECKING:
    from sqlalchemy import Engine

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(2400)]

METERS: Final = 3
SPEED: Final = 600.0
INSTALLED_US: Final = 1_790_000_000 // 1800 * 1800 * 10**6
SETTINGS: Final = "\n[campaigns]\nlook_s = 0.2\nflush_s = 0.2\nask_s = 0.5\nlater_s = 0.5\n"
PLANNED: Final = ("--soak-s", "1", "--retry-first-s", "0.5", "--reason", "test")
OLD, NEW = "openami 0.1.0+0", "openami 0.2.0+0"


class Site:
    """Head-end, concentrator and full meters, each meter below a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layout = Layout(folder / "var")
        uplink, meters, web, plain = free_ports(4)
        self.plain = Url("tcp", "127.0.0.1", plain)
        plan = Plan(
            meters=METERS,
            regions=("north",),
            installed_us=INSTALLED_US,
            uplink_port=uplink,
            concentrator_port=meters,
            web_port=web,
            plain_listener=str(self.plain),
        )
        provision(self.layout, plan, lambda *_: None)
        config = self.layout.headend / "config.toml"
        config.write_text(config.read_text() + SETTINGS)
        self.layout.firmware.mkdir()
        calendar = CalendarState(
            base_us=INSTALLED_US + 86_400 * 10**6,
            epoch_monotonic_s=time.monotonic(),
            speed=SPEED,
            running=True,
            boot=boot_id(),
        )
        calendar.store(self.layout.clock)
        self.homes = {}
        for number in range(1, METERS + 1):
            mine = Layout(folder / f"meter-{number}" / "var")
            home = mine.meter(meter_title(number))
            home.parent.mkdir(parents=True)
            self.layout.meter(meter_title(number)).rename(home)
            mine.firmware.symlink_to(self.layout.firmware)
            calendar.store(mine.clock)
            device = home / "device.toml"
            device.write_text(device.read_text() + "\n[firmware]\ntrial_s = 40\n")
            from_factory(MeterConfig.load(home), mine.firmware)  # one after the other
            self.homes[number] = home
        self.engine: Engine = open_database(self.layout.database_url, create=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, words in self._programs().items():
                stack.enter_context(self._process(name, words))
            self.until(
                lambda: (
                    sum(a.attached for a in registry.attachments(self.engine).values()) == METERS
                ),
                "the meters are attached",
            )
            yield
        self.engine.dispose()

    def _programs(self) -> dict[str, tuple[str, ...]]:
        return {
            "headend": ("headend", "run", "--home", str(self.layout.headend)),
            "north": ("concentrator", "run", "--home", str(self.layout.concentrator("north"))),
            **{
                f"meter-{number}": ("meter", "run", "--home", str(home))
                for number, home in self.homes.items()
            },
        }

    @contextmanager
    def _process(self, name: str, words: tuple[str, ...]) -> Iterator[None]:
        with (self.folder / f"{name}.said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "openami", *words],
                stdout=said,
                stderr=said,
                env=os.environ | {"PYTHONPATH": str(Path("src").resolve())},
            )
            try:
                yield
            finally:
                process.terminate()
                process.wait(60)

    def until(self, true: Callable[[], bool], what: str, timeout_s: float = 600.0) -> None:
        end_s = time.monotonic() + timeout_s
        while not true():
            if time.monotonic() > end_s:
                said = [f"{f.name}: {f.read_text()[-2000:]}" for f in self.folder.glob("*.said")]
                raise AssertionError(f"not within {timeout_s:g} s: {what}\n" + "\n".join(said))
            time.sleep(0.02)

    def key(self) -> ec.EllipticCurvePrivateKey:
        key = private_key((self.layout.firmware / SIGNING_KEY).read_bytes())
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def public(self) -> Path:
        path = self.folder / "trusted.pem"
        form = PublicFormat.SubjectPublicKeyInfo
        path.write_bytes(self.key().public_key().public_bytes(Encoding.PEM, form))
        return path

    def good(self) -> Path:
        image = Release.of(here()).image(Version(0, 2, 0), 2, self.key())
        path = self.folder / "good.bin"
        path.write_bytes(image.encode())
        return path

    def bad(self) -> Path:
        """Return a signed image in which a self-test never passes."""

        class Changed(Library):
            def find(self, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
                found = super().find(name)
                if name == "openami.meter.part" and found is not None:
                    text = found.text.replace(
                        "from openami.runtime.errors",
                        "from openami.meter.management_process import ManagementProcess\n"
                        "_checks = ManagementProcess.checks\n"
                        "ManagementProcess.checks = lambda m: {**_checks(m),"
                        " 'valve': lambda: False}\n"
                        "from openami.runtime.errors",
                        1,
                    )
                    assert text != found.text
                    return replace(found, text=text)
                return found

        first = Image.decode((self.layout.firmware / FACTORY_IMAGE).read_bytes())
        recipe = replace(recipe_of(first), version=Version(0, 3, 0), security_counter=3)
        program = pack(MANAGEMENT, Changed(Path("src/openami").resolve())).octets
        path = self.folder / "bad.bin"
        payload = Payload(secure=b"", management=program).encode()
        path.write_bytes(sign(payload, recipe, self.key()).encode())
        return path

    def campaign(self, image: Path) -> str:
        """Plan and start a campaign with the commands that people give."""
        home = ("--home", str(self.layout.headend))
        words = ("headend", "campaign", "plan", *home, "--image", str(image))
        told(*words, "-k", str(self.public()), "--all", *PLANNED)
        campaign_id = campaigns.campaigns(self.engine)[0].campaign_id
        told("headend", "campaign", "start", *home, campaign_id, "--yes", "--reason", "test")
        return campaign_id

    @contextmanager
    def paused_midway(self) -> Iterator[None]:
        """Let the store itself pause a campaign in the middle of a transfer, however fast that is.

        The head-end learns of it from the note that brings it about.
        """
        with transaction(self.engine) as connection:
            connection.execute(
                text(
                    "CREATE TRIGGER midway AFTER UPDATE OF blocks_there ON campaign_meters"
                    " WHEN NEW.blocks_there BETWEEN 1 AND NEW.blocks - 1 BEGIN"
                    " UPDATE campaigns SET state = 'paused'"
                    " WHERE campaign_id = NEW.campaign_id; END"
                )
            )
        yield
        with transaction(self.engine) as connection:
            connection.execute(text("DROP TRIGGER midway"))

    def targets(self, campaign_id: str) -> list[Target]:
        return campaign_meters.targets(self.engine, campaign_id)

    def ends(self, campaign_id: str, state: CampaignState) -> list[Target]:
        self.until(
            lambda: campaigns.campaign(self.engine, campaign_id).state is not CampaignState.RUNNING,
            f"the campaign is {state.value}",
        )
        assert campaigns.campaign(self.engine, campaign_id).state is state, self.targets(
            campaign_id
        )
        return self.targets(campaign_id)


def told(*words: str) -> None:
    assert openami.main(list(words), standalone_mode=False) in {0, None}


async def read_clock(url: Url) -> object:
    """Read the clock as a stranger does, with an association of its own."""
    async with open_session(url, ClientParameters(client_sap=PUBLIC_CLIENT)) as meter:
        return await meter.run(meter.client.get(CosemClock.time, at=CLOCK))


def test_a_bad_release_stops_at_its_canary_and_a_good_one_reaches_all(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with site.running():
        campaign_id = site.campaign(site.bad())
        canary, *others = site.ends(campaign_id, CampaignState.STOPPED)
        assert (canary.state, canary.version_after) == (MeterState.REVERTED, OLD)
        assert {each.state for each in others} == {MeterState.PLANNED}
        assert {each.octets_sent for each in others} == {0}
        home = ("--home", str(site.layout.headend), campaign_id, "--reason", "bad image")
        told("headend", "campaign", "cancel", *home)

        with site.paused_midway():
            campaign_id = site.campaign(site.good())
            site.until(
                lambda: (
                    campaigns.campaign(site.engine, campaign_id).state is CampaignState.PAUSED
                    and "put down" in site.targets(campaign_id)[0].note
                ),
                "the transfer is put down",
            )
        canary = site.targets(campaign_id)[0]
        assert canary.meter_id == 1
        assert 0 < canary.blocks_there < canary.blocks
        # Another association with the same meter, and an urgent command, in the middle of it.
        assert asyncio.run(read_clock(site.plain)) is not None
        with transaction(site.engine) as connection:
            asked = commands.ask(
                connection,
                meter_id=1,
                kind=CommandKind.DISCONNECT,
                asked_by="ada",
                reason="now",
                priority=Priority.URGENT,
            )
            campaigns.act(connection, campaign_id, Act.RESUME, by="ada", reason="test")
        site.until(
            lambda: commands.command(site.engine, asked).state is CommandState.CONFIRMED,
            "the command is confirmed",
        )
        found = site.ends(campaign_id, CampaignState.DONE)
        assert {each.state for each in found} == {MeterState.CONFIRMED}
        assert {(each.version_before, each.version_after) for each in found} == {(OLD, NEW)}
        assert all(each.blocks_sent <= each.blocks for each in found)  # none was sent twice
        canary, *others = found
        # The command was served while blocks were still missing.
        assert commands.history(site.engine, asked)[-1].at_real_us < (
            canary.transferred_real_us or 0
        )
        assert all(canary.changed_real_us < (each.began_real_us or 0) for each in others)
