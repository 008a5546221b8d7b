# SPDX-License-Identifier: Apache-2.0
"""`openami meter recover`: a technician's side of a meter in which no firmware runs."""

import os
import select
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from openami.cli.image_files import FILE, image_of
from openami.device.smp import RESET, STATE, UPLOAD, Group, LineReader, Op, Smp, to_lines
from openami.runtime.errors import ExitCode, UserError

PART_OCTETS: Final = 512
ANSWER_S: Final = 5.0
TRIES: Final = 3
READ_OCTETS: Final = 4096


class Technician:
    """Asks over a service line, one request after the other."""

    def __init__(self, line: int) -> None:
        self._line = line
        self._reader = LineReader()
        self._sequence = 0

    def ask(self, op: Op, group: Group, command: int, **body: object) -> Mapping[object, object]:
        """Return the body of the response.

        Raises:
            UserError: Nobody answers, or the meter refuses.
        """
        self._sequence = (self._sequence + 1) & 0xFF
        fields: dict[object, object] = dict(body.items())
        request = Smp(op=op, group=group, command=command, sequence=self._sequence, body=fields)
        for _ in range(TRIES):
            os.write(self._line, to_lines(request))
            if (response := self._answer()) is not None:
                if response.get("rc", 0):
                    raise UserError(f"the meter refuses: {response.get('rsn', response['rc'])}")
                return response
        raise UserError("the meter does not answer: it is recovering only while no firmware runs")

    def _answer(self) -> Mapping[object, object] | None:
        deadline_s = time.monotonic() + ANSWER_S
        while (left_s := deadline_s - time.monotonic()) > 0:
            if not select.select([self._line], [], [], left_s)[0]:
                break
            for message in self._reader.feed(os.read(self._line, READ_OCTETS)):
                if message.sequence == self._sequence and message.op in {
                    Op.READ_RESPONSE,
                    Op.WRITE_RESPONSE,
                }:
                    return message.body
        return None

    def send(self, octets: bytes) -> None:
        """Upload an image, going on where an earlier upload was cut off."""
        offset = 0
        while offset < len(octets):
            body: dict[str, object] = {"off": offset, "data": octets[offset : offset + PART_OCTETS]}
            if offset == 0:
                body["len"] = len(octets)
            response = self.ask(Op.WRITE, Group.IMAGE, UPLOAD, **body)
            match response.get("off"):
                case int(following) if following > offset:
                    offset = following
                case found:
                    raise UserError(f"the meter wants octet {found} again and again: it is ill")


@click.command()
@click.option(
    "--line",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Service line, as the meter's alarm names it.",
)
@click.argument("image", type=FILE, required=False)
def recover(path: Path, image: Path | None) -> None:
    """Ask a meter why no firmware runs; send it IMAGE, and let it start."""
    octets = None if image is None else image_of(image).encode()
    try:
        line = os.open(path, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        sentence = f"{path} cannot be opened ({error.strerror}): look at the meter's alarm"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    try:
        if not os.isatty(line):
            sentence = f"{path} is no serial line: look at the meter's alarm"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        technician = Technician(line)
        state = technician.ask(Op.READ, Group.IMAGE, STATE)
        click.echo(state.get("rsn", "the meter does not say why no firmware runs"))
        if octets is None:
            return
        technician.send(octets)
        technician.ask(Op.WRITE, Group.SYSTEM, RESET)
    except OSError as error:
        raise UserError(f"{path} broke ({error.strerror}): is the meter still there?") from None
    finally:
        os.close(line)
    print(f"{image} was taken; the meter starts it on trial", file=sys.stderr)  # noqa: T201
