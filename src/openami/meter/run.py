# SPDX-License-Identifier: Apache-2.0
"""The backplane of the full meter: the line between two modules, and their power.

A UART is a pseudo-terminal: metrology inherits the master side, management opens the slave side by
its path.  SPI is a pair of sockets, one inherited by each.  The backplane keeps both sides open, so
that neither module sees the line close when the other restarts.  A module that dies is started
again; when the backplane itself is killed the system stops both
(`runtime.process.stop_with_parent`).

Management runs as boot found it in the flash (`module`); a meter that has none is made first, as
its factory would.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from openami.device import factory, files, sealedimage
from openami.device.payload.errors import PayloadError
from openami.device.sealedimage import SealBrokenError
from openami.device.secure.personal import Certify
from openami.device.storage import StorageError
from openami.firmware.errors import FirmwareError
from openami.meter import modules
from openami.meter.config import MeterConfig
from openami.meter.line import SPI
from openami.meter.measuringmodule import NAME as METROLOGY
from openami.meter.measuringmodule import MeasuringModule
from openami.meter.metrology_config import LinkKind
from openami.meter.module import NAME, Module
from openami.meter.personalise import personalise_meter
from openami.meter.walls import walls_of
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, write_status
from openami.runtime.supervisor import COMMAND, Child, ChildState, Program, Supervisor
from openami.runtime.users import users_here
from openami.transport.serial import make_raw
from openami.transport.spi import wires

log = logging.getLogger(__name__)

STATUS_S: Final = 1.0
DOOR: Final = "secure.door"


def trouble(children: Sequence[Child]) -> str:
    """Return why modules do not run, in their own words; empty while all do."""
    found = [
        f"{child.program.name} is tried again: {child.last_words.removeprefix(COMMAND)}"
        for child in children
        if child.state is ChildState.PAUSING and child.last_words.startswith(COMMAND)
    ]
    found += [child.trouble for child in children if isinstance(child, Module) and child.trouble]
    return "; ".join(found)


def from_factory(config: MeterConfig, firmware: Path) -> None:
    """Make the meter's flash if it has none, and put metrology's image under its seal.

    Raises:
        UserError: An image or its keys cannot be used, or the disk refused.
    """
    measuring = config.home / files.SEAL
    if not sealedimage.is_made(measuring):
        try:
            sealedimage.make(measuring, sealedimage.delivered(firmware / files.METROLOGY))
        except PayloadError as error:
            raise UserError(f"no metrology for {config.name}: {error}") from error
    if factory.is_made(config.home):
        return
    try:
        delivered = factory.brought(firmware)
        factory.make(config.home, delivered or factory.development(firmware))
    except (PayloadError, FirmwareError) as error:
        raise UserError(f"no firmware for {config.name} from {firmware}: {error}") from error
    if delivered is None:
        log.warning("%s was made with development keys from %s", config.name, firmware)


def personalise(home: Path, certify: Certify | None = None) -> None:
    """Take the meter in `home` through its factory to the end.

    Args:
        home: The meter's.
        certify: Certifies its key pairs, in suites 1 and 2.

    Raises:
        ConfigurationError: `device.toml` or `keys.json` cannot be used.
        UserError: It has no keys to give, its storage is damaged, or the disk refused.
    """
    config = MeterConfig.load(home)
    from_factory(config, Layout(home.parent.parent).firmware)
    personalise_meter(config, certify)


@contextmanager
def line() -> Iterator[tuple[int, str]]:
    """Lend a serial line: its master side, and the path of the other one.

    Both sides stay open, so that neither end sees the line close when the other restarts.
    """
    master, slave = os.openpty()
    try:
        make_raw(slave)
        yield master, os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


@contextmanager
def link_of(config: MeterConfig) -> Iterator[tuple[int, tuple[str, tuple[int, ...]]]]:
    """Lend the link: metrology's descriptor; management's words, and descriptors to inherit."""
    if config.link is LinkKind.SPI:
        with wires() as (master, slave):
            yield slave, (f"{SPI}{master}", (master,))
    else:
        with line() as (master, uart):
            yield master, (uart, ())


async def serve(home: Path, stop: asyncio.Event, *, from_source: bool = False) -> None:
    """Run the full meter in `home` until `stop` is set.

    Raises:
        ConfigurationError: `device.toml` or `keys.json` cannot be used.
        UserError: A meter without firmware cannot be given one.
    """
    config = MeterConfig.load(home)  # refused here, not twice by the modules
    layout = Layout(home.parent.parent)
    await asyncio.to_thread(modules.pair_new, config)
    if not from_source:
        await asyncio.to_thread(from_factory, config, layout.firmware)
    walls = await asyncio.to_thread(walls_of, config, layout.run / DOOR)
    users = walls.users if walls.users.of else await asyncio.to_thread(users_here)
    user, together = await asyncio.to_thread(modules.give_metrology, config.home, users)
    with link_of(config) as (descriptor, end), line() as service:
        walls.hand_over(home, layout.run, Path(end[0]))
        measuring = MeasuringModule(
            Program(METROLOGY, ()),
            layout.run / f"{METROLOGY}.log",
            home=home,
            line=descriptor,
            user=user,
            together=together,
            from_source=from_source,
        )
        if not from_source:
            with contextlib.suppress(SealBrokenError, StorageError):  # said when it is to start
                await measuring.verify()
        management = Module(
            Program(NAME, ()),
            layout.run / f"{NAME}.log",
            home=home,
            line=end,
            service=service,
            config=config,
            walls=walls,
            beside=lambda: measuring.told,
            from_source=from_source,
            watchdog_s=2 * config.trial_s,
        )
        supervisor = Supervisor([measuring, management], layout.run)
        supervisor.start()
        log.info("%s has power", config.name)
        while not stop.is_set():
            children = supervisor.children
            running = sum(child.state is ChildState.RUNNING for child in children)
            restarts = sum(child.restarts for child in children)
            refused = [child for child in children if child.state is ChildState.REFUSED]
            if refused:
                await supervisor.stop()
                sentence = refused[0].last_words.removeprefix(COMMAND)
                raise UserError(sentence, ExitCode.ASKED_WRONGLY)
            said: Figures = {"meters": 1, "modules running": running, "restarts": restarts}
            said |= measuring.figures() | management.figures() | {"service line": service[1]}
            said["alarm"] = trouble(children)
            write_status(layout.run, "meter", said)
            try:
                await asyncio.wait_for(stop.wait(), STATUS_S)
            except TimeoutError:
                continue
        await supervisor.stop()
    log.info("%s is without power", config.name)
