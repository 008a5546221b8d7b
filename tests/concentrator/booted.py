# SPDX-License-Identifier: Apache-2.0
"""A concentrator as its launcher runs it: a process booted from a flash, under a real head-end."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

from chain import CONCENTRATOR, REGION, Chain, Running, row_of, until
from factorystock import stock
from openami.concentrator.module import DELIVERY, RELEASE, serve
from openami.concentrator.own.banks import open_flash
from openami.concentrator.own.keys import load_keys
from openami.cosem.asking import image as asking
from openami.cosem.client import Client, ClientParameters
from openami.device.factory import SIGNING_KEY
from openami.device.payload.sources import Library, Source, here
from openami.dlms.hls import Mechanism
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.exchange.field import FirmwareState
from openami.firmware.image import Image, Version
from openami.firmware.keys import PrivateKey, private_key
from openami.firmware.state import BootState, StateJournal
from openami.lifecycle.plan import HEAD_END_TITLE
from openami.runtime.status import read_statuses
from openami.store import field
from openami.transport.session import DlmsSession
from openami.transport.url import Url
from openami.transport.wire import WireError
from ports import free_ports


class Booted:
    """A chain whose concentrator is booted."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.home = chain.layout.concentrator(REGION)
        self.launcher: Running
        self.pushed = 0
        self._first_counter = 1

    def configure(self, **firmware: object) -> None:
        """Point `config.toml` at the chain's ports; further keys are those of `[firmware]`."""
        port, tools = free_ports(2)
        file = self.home / "config.toml"
        text = file.read_text("utf-8")
        text = _with(text, "meters", listen=f'"tls://127.0.0.1:{port}"')
        text = _with(text, "concentrator", listen=f'"tcp://127.0.0.1:{tools}"')
        text = _with(
            text,
            "uplink",
            url=f'"{self.chain.uplink_url}"',
            backoff_first_s="0.02",
            backoff_most_s="0.1",
        )
        text += "\n[firmware]\n" + "\n".join(f"{key} = {value}" for key, value in firmware.items())
        file.write_text(text + "\n", "utf-8")
        self.chain.meters_url = Url("tls", "127.0.0.1", port)
        self.tools = Url("tcp", "127.0.0.1", tools)

    def start(self) -> None:
        stop = asyncio.Event()
        self.launcher = Running(asyncio.create_task(serve(self.home, stop)), stop)

    @property
    def figures(self) -> dict[str, int | float | str]:
        """What the concentrator's status says; empty when it says nothing."""
        found = [s for s in read_statuses(self.chain.layout.run) if s.process.endswith(REGION)]
        return found[0].figures if found and found[0].fresh else {}

    @property
    def told(self) -> FirmwareState:
        """What the head-end has been told of the firmware."""
        return field.firmwares(self.chain.engine)[CONCENTRATOR]

    def kill(self) -> None:
        """Kill the program, not the launcher."""
        (found,) = [s for s in read_statuses(self.chain.layout.run) if s.process.endswith(REGION)]
        os.kill(found.pid, signal.SIGKILL)

    async def says(self, firmware: str, within_s: float = 60.0) -> None:
        """Wait until the status names this firmware."""
        await until(
            lambda: str(self.figures.get("firmware", "")) == firmware, self.launcher, within_s
        )

    @property
    def state(self) -> BootState:
        flash, flash_map = open_flash(self.home)
        found = StateJournal(flash, flash_map).read()
        flash.close()
        assert found is not None
        return found

    @property
    def key(self) -> PrivateKey:
        return private_key((self.chain.layout.firmware / DELIVERY / SIGNING_KEY).read_bytes())

    def image(self, version: str, counter: int, key: PrivateKey | None = None) -> Image:
        return RELEASE.image(here(), Version.parse(version), counter, key or self.key)

    def session(self) -> tuple[DlmsSession, Client]:
        """Return a head-end's session with the concentrator itself, over its uplink."""
        keys = load_keys(self.home / "keys.json", CONCENTRATOR)
        assert keys is not None
        asked = ClientParameters(
            client_sap=1,
            mechanism=Mechanism.HLS_GMAC,
            cipher=Cipher(keys),
            system_title=HEAD_END_TITLE,
            server_title=CONCENTRATOR,
        )
        session = DlmsSession(lambda apdu: send(apdu), "the concentrator", 30.0)  # noqa: PLW0108
        uplinks = self.chain.headend.uplinks
        send = uplinks.open_session(CONCENTRATOR, 1, session.feed, session.detach)
        self._first_counter += 100_000
        counters = CounterBlock(self._first_counter, self._first_counter + 100_000)
        return session, Client(asked, entropy=os.urandom, counters=counters)

    async def send(self, image: Image, *, activate: bool = True) -> int:
        """Send an image over the uplink and have it started; return the blocks that were sent."""
        session, client = self.session()
        await session.run(client.associate())
        sent = await session.run(asking.transfer(client, b"next", image.encode()))
        assert await session.run(asking.verify(client))
        if activate:
            assert not await session.run(asking.activate(client))
        return int(sent)

    async def keep_pushing(self, meter_id: int) -> None:
        """Push one interval after the other, and dial again whenever the connection is gone."""
        meter = self.chain.meters[meter_id]
        while True:
            if meter.wire is None or not meter.wire.is_open:
                with suppress(WireError, OSError):
                    await meter.connect(self.chain.meters_url)
            meter.push([row_of(meter_id, self.pushed)])
            self.pushed += 1
            await asyncio.sleep(0.05)


def _with(text: str, table: str, **values: str) -> str:
    """Return a configuration with keys of a table set."""
    for key, value in values.items():
        head, _, rest = text.partition(f"[{table}]\n")
        body, mark, others = rest.partition("\n[")
        body = re.sub(rf"(?m)^{key} = .*\n?", "", body)
        text = f"{head}[{table}]\n{key} = {value}\n{body}{mark}{others}"
    return text


@asynccontextmanager
async def booted(folder: Path, meters: int = 1, **firmware: object) -> AsyncIterator[Booted]:
    """Start a head-end and boot a concentrator; stop both at the end."""
    chain = Chain(folder, meters)
    stock(chain.layout, meters=False)
    await chain.start_headend()
    found = Booted(chain)
    found.configure(**firmware)
    found.start()
    try:
        await until(lambda: chain.headend.uplinks.up == 1, found.launcher)
        yield found
    finally:
        for meter in chain.meters.values():
            if meter.wire is not None:
                meter.wire.close()
        await found.launcher.end()
        await chain.headend_ends()
        chain.close()


CRASH = "\nraise SystemExit('no such thing')\n"
HANG = "\nimport time\ntime.sleep(600)\n"


class Changed(Library):
    """This package, with more in the module that a program begins with."""

    def __init__(self, more: str) -> None:
        super().__init__(Path("src/openami").resolve())
        self._more = more

    def find(self, name: str) -> Source | None:
        found = super().find(name)
        if name == "openami.concentrator.part" and found is not None:
            return replace(found, text=found.text + self._more)
        return found


def bad_image(found: Booted, more: str) -> Image:
    return RELEASE.image(Changed(more), Version.parse("0.3.0"), 3, found.key)
