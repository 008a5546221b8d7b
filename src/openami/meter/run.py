# SPDX-License-Identifier: Apache-2.0
"""The backplane of the full meter: a UART between two modules, and their power.

The UART is a pseudo-terminal of which the backplane keeps both sides open, so that neither module
sees the line close when the other restarts.  Metrology inherits the master side, management opens
the slave side by its path.  A module that dies is started again; when the backplane itself is
killed the system stops both (`runtime.process.stop_with_parent`).
"""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from openami.meter.config import MeterConfig
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, write_status
from openami.runtime.supervisor import COMMAND, Child, ChildState, Program, Supervisor
from openami.transport.serial import make_raw

log = logging.getLogger(__name__)

STATUS_S: Final = 1.0


def modules(home: Path, master: int, slave: str) -> list[Program]:
    """Return the two modules, metrology first."""

    def command(verb: str, *options: str) -> list[str]:
        return [sys.executable, "-m", "openami", "meter", verb, "--home", str(home), *options]

    return [
        Program("metrology", command("metrology", "--descriptor", str(master)), (master,)),
        Program("management", command("management", "--uart", slave)),
    ]


def trouble(children: Sequence[Child]) -> str:
    """Return why modules do not run, in their own words; empty while all do."""
    return "; ".join(
        f"{child.program.name} is tried again: {child.last_words.removeprefix(COMMAND)}"
        for child in children
        if child.state is ChildState.PAUSING and child.last_words.startswith(COMMAND)
    )


async def serve(home: Path, stop: asyncio.Event) -> None:
    """Run the full meter in `home` until `stop` is set.

    Raises:
        ConfigurationError: `device.toml` or `keys.json` cannot be used.
    """
    config = MeterConfig.load(home)  # refused here, not twice by the modules
    layout = Layout(home.parent.parent)
    master, slave = os.openpty()
    try:
        make_raw(slave)
        supervisor = Supervisor(modules(home, master, os.ttyname(slave)), layout.run)
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
            said["alarm"] = trouble(children)
            write_status(layout.run, "meter", said)
            try:
                await asyncio.wait_for(stop.wait(), STATUS_S)
            except TimeoutError:
                continue
        await supervisor.stop()
    finally:
        os.close(master)
        os.close(slave)
    log.info("%s is without power", config.name)
