# SPDX-License-Identifier: Apache-2.0
"""The line between the two modules as each of them finds it: a UART, or SPI.

Management is told its end in words: the path of a serial line, or `spi:N` with the descriptor that
it inherits.  Metrology inherits its end whichever it is.  Management is the master of SPI.
"""

import os
from pathlib import Path
from typing import Final, Protocol

from openami.meter.metrology_config import LinkKind, MetrologyConfig
from openami.runtime.errors import ExitCode, UserError
from openami.transport.serial import Receive, SerialLine
from openami.transport.spi import SpiMaster, SpiSlave

SPI: Final = "spi:"


class Line(Protocol):
    """Octets to and from the other module."""

    def open(self) -> None: ...

    def send(self, octets: bytes) -> None: ...

    def close(self) -> None: ...


class DescriptorLine(SerialLine):
    """A serial line whose descriptor somebody else keeps open: the backplane's UART."""

    def __init__(self, descriptor: int, receive: Receive) -> None:
        super().__init__(Path(f"/proc/self/fd/{descriptor}"), receive)
        self._given = descriptor

    def _acquire(self) -> int:
        return os.dup(self._given)


def metrology_line(config: MetrologyConfig, descriptor: int, receive: Receive) -> Line:
    """Return metrology's end; call inside a running loop."""
    if config.link is LinkKind.SPI:
        return SpiSlave(descriptor, config.slot_octets, receive)
    return DescriptorLine(descriptor, receive)


def management_line(config: MetrologyConfig, words: str, receive: Receive) -> Line:
    """Return management's end; call inside a running loop.

    Raises:
        UserError: The words name no line.
    """
    if not words.startswith(SPI):
        return SerialLine(Path(words), receive)
    try:
        return SpiMaster(int(words.removeprefix(SPI)), config.slot_octets, receive)
    except ValueError:
        sentence = f"{words!r} is no line: use a path, or {SPI} and an open descriptor"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
