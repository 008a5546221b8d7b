# SPDX-License-Identifier: Apache-2.0
"""A device with no image that may run: it says why, and takes a new one from a technician.

It answers on its service line in the protocol of `smp`: the system's echo and reset, the state of
the images with the reason of each refusal (``rsn``), and the upload of an image in the clear.  An
image that is complete is verified like any other; after a reset it runs on trial.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from openami.device.smp import (
    ECHO,
    RESET,
    STATE,
    UPLOAD,
    Code,
    Group,
    LineReader,
    Op,
    Smp,
    to_lines,
)
from openami.firmware.bank import M2351, Bank, load
from openami.firmware.errors import FirmwareError, ImageError
from openami.firmware.flash import Flash
from openami.firmware.state import UpdateState
from openami.firmware.update import Update
from openami.firmware.verify import Policy
from openami.runtime.errors import ExitCode

IDENTIFIER: Final = b"recovery"
BLOCK_OCTETS: Final = 1024
READ_OCTETS: Final = 4096

Body = Mapping[object, object]


@dataclass(slots=True)
class _Upload:
    """An upload that is under way: what does not fill a block yet."""

    update: Update
    size: int
    begun: bytes = b""

    @property
    def offset(self) -> int:
        """Return where the next octet belongs."""
        transfer = self.update.transfer
        missing = [] if transfer is None else transfer.missing
        blocks = missing[0] if missing else -(-self.size // BLOCK_OCTETS)
        return min(blocks * BLOCK_OCTETS + len(self.begun), self.size)


class RecoveryServer:
    """Answers requests.

    Attributes:
        reset: Somebody asked for a new start.
    """

    def __init__(self, flash: Flash, demanded: Policy, reason: str) -> None:
        self.reset = False
        self._flash, self._reason = flash, reason
        self._policy = demanded
        self._upload: _Upload | None = None
        self._commands: Mapping[tuple[int, int, Op], Callable[[Body], Body]] = {
            (Group.SYSTEM, ECHO, Op.WRITE): lambda body: {"r": body.get("d", "")},
            (Group.SYSTEM, RESET, Op.WRITE): self._reset,
            (Group.IMAGE, STATE, Op.READ): self._state,
            (Group.IMAGE, UPLOAD, Op.WRITE): self._take,
        }

    def answer(self, request: Smp) -> Smp | None:
        """Return the response to a request; None for what is none, such as our own echo."""
        if not request.is_request:
            return None
        command = self._commands.get((request.group, request.command, request.op))
        if command is None:
            return request.answer(
                _refused(Code.NOT_SUPPORTED, "recovery does not know this command")
            )
        try:
            return request.answer(command(request.body))
        except FirmwareError as error:
            self._upload = None
            return request.answer(_refused(Code.BAD_STATE, str(error)))

    def _reset(self, body: Body) -> Body:  # noqa: ARG002  one signature for all
        self.reset = True
        return {"rc": Code.DONE.value}

    def _state(self, body: Body) -> Body:  # noqa: ARG002
        images: list[object] = []
        for bank in Bank:
            try:
                verified = load(self._flash, M2351, bank, self._policy)
            except ImageError as error:
                images.append({"slot": int(bank), "bootable": False, "rsn": str(error)})
            else:
                version = str(verified.version)
                images.append({"slot": int(bank), "version": version, "hash": verified.digest})
        return {"images": images, "rsn": self._reason}

    def _take(self, body: Body) -> Body:
        match body:
            case {"off": int(offset), "data": bytes(octets)}:
                pass
            case _:
                return _refused(Code.INVALID, "an upload has off and data")
        if offset == 0:
            size = body.get("len")
            if not isinstance(size, int):
                return _refused(Code.INVALID, "the first part of an upload says its len")
            self._begin(size)
        upload = self._upload
        if upload is None:
            return _refused(Code.BAD_STATE, "no upload is under way: begin at offset 0")
        if offset + len(octets) > upload.size:
            return _refused(Code.TOO_LARGE, f"the image was to have {upload.size} octets")
        if offset == upload.offset:
            upload.begun += octets
            self._write_blocks(upload)
        if upload.offset == upload.size:
            self._finish(upload)
        return {"rc": Code.DONE.value, "off": upload.offset}

    def _begin(self, size: int) -> None:
        """Begin, or go on with an upload of the same size that was cut off."""
        update = Update(self._flash, M2351, self._policy)
        transfer = update.transfer
        same = transfer is not None and (transfer.terms.identifier, transfer.terms.size) == (
            IDENTIFIER,
            size,
        )
        if update.state is not UpdateState.WRITING or not same:
            update.check(IDENTIFIER, size, BLOCK_OCTETS)
            update.give_up()
            update.start(IDENTIFIER, size, BLOCK_OCTETS)
        self._upload = _Upload(update, size)

    @staticmethod
    def _write_blocks(upload: _Upload) -> None:
        while upload.begun:
            whole = upload.offset == upload.size
            if len(upload.begun) < BLOCK_OCTETS and not whole:
                return
            octets, rest = upload.begun[:BLOCK_OCTETS], upload.begun[BLOCK_OCTETS:]
            number = (upload.offset - len(upload.begun)) // BLOCK_OCTETS
            upload.update.write(number, octets)
            upload.begun = rest

    def _finish(self, upload: _Upload) -> None:
        upload.update.finish()
        upload.update.install()
        self._upload = None


def _refused(code: Code, reason: str) -> Body:
    return {"rc": code.value, "rsn": reason}


def serve(line: int, flash: Flash, demanded: Policy, reason: str) -> int:
    """Answer on a serial line until somebody asks for a new start."""
    server, reader = RecoveryServer(flash, demanded, reason), LineReader()
    while not server.reset:
        for request in reader.feed(os.read(line, READ_OCTETS)):
            response = server.answer(request)
            view = memoryview(b"" if response is None else to_lines(response))
            while view:
                view = view[os.write(line, view) :]
    return ExitCode.RESTART
