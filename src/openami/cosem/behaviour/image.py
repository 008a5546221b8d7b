# SPDX-License-Identifier: Apache-2.0
"""Image transfer on the server's side: the seven steps (DLMS UA 1000-1 Ed. 12, 4.4.6).

A client reads the block size, initiates, sends blocks in any order, asks which are missing,
verifies, looks at what came out, and activates, at once or by a single action schedule whose
script invokes the same method.  `TRANSITIONS` is the order in which that may happen.

The image itself, and how far its transfer has come, are with an `ImageSink`, which keeps both over
a loss of power: a transfer goes on where it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, runtime_checkable

from openami.cosem.classes.image_transfer import (
    ImageBlock,
    ImageInitiation,
    ImageToActivate,
    ImageTransfer,
    ImageTransferStatus,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import BitString


class ImageEvent(Enum):
    """What moves a transfer from one status to another."""

    INITIATE = "image_transfer_initiate"
    BLOCK = "image_block_transfer"
    VERIFY = "image_verify"
    VERIFIED = "the image is as its maker made it"
    NOT_VERIFIED = "it is not"
    ACTIVATE = "image_activate"
    ACTIVATED = "the image runs, or will after a restart"
    NOT_ACTIVATED = "it does not"


_S: Final = ImageTransferStatus
_E: Final = ImageEvent

TRANSITIONS: Final[Mapping[tuple[ImageTransferStatus, ImageEvent], ImageTransferStatus]] = {
    **{
        (status, _E.INITIATE): _S.INITIATED
        for status in _S
        if status not in {_S.VERIFICATION_INITIATED, _S.ACTIVATION_INITIATED}
    },
    (_S.INITIATED, _E.BLOCK): _S.INITIATED,
    (_S.INITIATED, _E.VERIFY): _S.VERIFICATION_INITIATED,
    (_S.VERIFICATION_INITIATED, _E.VERIFY): _S.VERIFICATION_INITIATED,
    (_S.VERIFICATION_SUCCESSFUL, _E.VERIFY): _S.VERIFICATION_INITIATED,
    (_S.VERIFICATION_FAILED, _E.VERIFY): _S.VERIFICATION_INITIATED,
    (_S.VERIFICATION_INITIATED, _E.VERIFIED): _S.VERIFICATION_SUCCESSFUL,
    (_S.VERIFICATION_INITIATED, _E.NOT_VERIFIED): _S.VERIFICATION_FAILED,
    (_S.VERIFICATION_SUCCESSFUL, _E.ACTIVATE): _S.ACTIVATION_INITIATED,
    (_S.ACTIVATION_INITIATED, _E.ACTIVATE): _S.ACTIVATION_INITIATED,
    (_S.ACTIVATION_FAILED, _E.ACTIVATE): _S.ACTIVATION_INITIATED,
    (_S.ACTIVATION_INITIATED, _E.ACTIVATED): _S.ACTIVATION_SUCCESSFUL,
    (_S.ACTIVATION_INITIATED, _E.NOT_ACTIVATED): _S.ACTIVATION_FAILED,
}
"""What is not here is refused.  An image that was not verified is, as the first part of
activation."""


class Verdict(Enum):
    """How a verification or an activation stands."""

    RUNNING = "ask again"
    GOOD = "done"
    BAD = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageProgress:
    """How far a transfer has come, as its sink kept it.

    Attributes:
        identifier: What is transferred.
        size: Of the image, in octets.
        block_size: Of all blocks but the last, in octets.
        received: One bit for each block, the first in the top bit of the first octet.
        status: Where in the process it is.
    """

    identifier: bytes
    size: int
    block_size: int
    received: bytes
    status: ImageTransferStatus


@runtime_checkable
class ImageSink(Protocol):
    """Where an image goes; a port that the meter binds.  What it did is durable when it returns.

    Every method may raise `Refused` with what the client is to see, and has changed nothing then.
    """

    def progress(self) -> ImageProgress | None:
        """Return what was kept; None if nothing was ever initiated."""
        ...

    def begin(self, identifier: bytes, size: int, block_size: int) -> None:
        """Make room for an image, and forget the one before; the status is initiated."""
        ...

    def write(self, number: int, value: bytes) -> None:
        """Keep one block, and that it is there."""
        ...

    def remember(self, status: ImageTransferStatus) -> None:
        """Keep the status."""
        ...

    def verify(self) -> Verdict:
        """Begin to verify, or go on; asked again while it is running."""
        ...

    def images(self) -> tuple[ImageToActivate, ...]:
        """Return what was found in the verified image."""
        ...

    def activate(self) -> Verdict:
        """Begin to activate, or go on; asked again while it is running."""
        ...


class ImageReceiver:
    """The behaviour of one image transfer object; an actor while something is running."""

    def __init__(
        self,
        thing: ImageTransfer,
        sink: ImageSink,
        *,
        resumes: bool = False,
        poll_us: int = 1_000_000,
    ) -> None:
        """Take up what the sink kept.

        Args:
            thing: With its block size, and whether transfers are enabled.
            sink: Where images go.
            resumes: Whether an initiation with identifier and size of the transfer under way keeps
                the blocks that are there.  Sources do not say; without it they are forgotten.
            poll_us: How often a verification or activation that is running is asked.
        """
        self._thing, self._sink = thing, sink
        self._resumes, self._poll_us = resumes, poll_us
        self._told_us = 0
        self._activates = False
        kept = sink.progress()
        self.status = _S.NOT_INITIATED if kept is None else kept.status
        self._identifier = b"" if kept is None else kept.identifier
        self._size = 0 if kept is None else kept.size
        self._block_size = 0 if kept is None else kept.block_size
        self._received = _flags(b"" if kept is None else kept.received, self.blocks)

    @property
    def blocks(self) -> int:
        """How many blocks the image has."""
        return -(-self._size // self._block_size) if self._block_size else 0

    @property
    def first_missing(self) -> int:
        """Number of the first block that is not there; the number of blocks if all are."""
        found = self._received.find(0)
        return self.blocks if found < 0 else found

    def due_us(self) -> int | None:
        running = self.status in {_S.VERIFICATION_INITIATED, _S.ACTIVATION_INITIATED}
        return self._told_us + self._poll_us if running else None

    def tick(self, now_us: int) -> None:
        self._told_us = now_us
        if self.status is _S.VERIFICATION_INITIATED:
            self._go_on_verifying()
        elif self.status is _S.ACTIVATION_INITIATED:
            self._go_on_activating()

    def initiate(self, what: ImageInitiation) -> None:
        """Make ready for an image."""
        after = self._may(_E.INITIATE)
        block_size = self._thing.image_block_size
        if not what.image_size:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        same = (what.image_identifier, what.image_size, block_size) == (
            self._identifier,
            self._size,
            self._block_size,
        )
        if self._resumes and same and self.status is _S.INITIATED:
            return
        self._sink.begin(what.image_identifier, what.image_size, block_size)
        self.status, self._activates = after, False
        self._identifier, self._size = what.image_identifier, what.image_size
        self._block_size = block_size
        self._received = bytearray(self.blocks)

    def take(self, block: ImageBlock) -> None:
        """Take a block; one that is there already is not written again."""
        self._may(_E.BLOCK)
        number, value = block
        if not 0 <= number < self.blocks:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        last = self._size - (self.blocks - 1) * self._block_size
        if len(value) != (last if number == self.blocks - 1 else self._block_size):
            raise Refused(ActionResult.TYPE_UNMATCHED)
        if not self._received[number]:
            self._sink.write(number, value)
            self._received[number] = 1

    def verify(self) -> None:
        """Verify the image.

        Raises:
            Refused: Temporary failure while it is running, another reason if the image is bad.
        """
        after = self._may(_E.VERIFY)
        self._complete()
        self._set(after)
        _told(self._go_on_verifying())

    def activate(self) -> None:
        """Activate the image, after verifying it where that was not done.

        Raises:
            Refused: Temporary failure while it is running, another reason if it failed.
        """
        if self.status is _S.INITIATED:
            after = self._may(_E.VERIFY)
            self._complete()
            self._set(after)
            verdict = self._go_on_verifying()
            self._activates = verdict is Verdict.RUNNING
            _told(verdict)
        self._set(self._may(_E.ACTIVATE))
        _told(self._go_on_activating())

    def _go_on_verifying(self) -> Verdict:
        verdict = self._go_on(self._sink.verify, _E.VERIFIED, _E.NOT_VERIFIED)
        activates, self._activates = self._activates, False
        if activates and verdict is Verdict.GOOD:
            self._set(_S.ACTIVATION_INITIATED)
            self._go_on_activating()
        elif verdict is Verdict.RUNNING:
            self._activates = activates
        return verdict

    def _go_on_activating(self) -> Verdict:
        return self._go_on(self._sink.activate, _E.ACTIVATED, _E.NOT_ACTIVATED)

    def _may(self, event: ImageEvent) -> ImageTransferStatus:
        if not self._thing.image_transfer_enabled:
            raise Refused(ActionResult.READ_WRITE_DENIED)
        after = TRANSITIONS.get((self.status, event))
        if after is None:
            raise Refused(
                ActionResult.OTHER_REASON
                if self.due_us() is None
                else ActionResult.TEMPORARY_FAILURE
            )
        return after

    def _complete(self) -> None:
        if self.first_missing < self.blocks:
            raise Refused(ActionResult.DATA_BLOCK_UNAVAILABLE)

    def _go_on(self, ask: Callable[[], Verdict], good: ImageEvent, bad: ImageEvent) -> Verdict:
        verdict = ask()
        if verdict is not Verdict.RUNNING:
            event = good if verdict is Verdict.GOOD else bad
            self._set(TRANSITIONS[self.status, event])
        return verdict

    def _set(self, status: ImageTransferStatus) -> None:
        if status is not self.status:
            self._sink.remember(status)
            self.status = status

    def shown_images(self) -> tuple[ImageToActivate, ...]:
        """Return what image_to_activate_info shows: nothing before a verification."""
        verified = {_S.VERIFICATION_SUCCESSFUL, _S.ACTIVATION_INITIATED, _S.ACTIVATION_FAILED}
        return self._sink.images() if self.status in verified else ()

    def shown_blocks(self) -> BitString:
        """Return what image_transferred_blocks_status shows."""
        return BitString.from_bits("".join("01"[there] for there in self._received))


def _told(verdict: Verdict) -> None:
    """Tell a client how something stands that is not done."""
    if verdict is Verdict.RUNNING:
        raise Refused(ActionResult.TEMPORARY_FAILURE)
    if verdict is Verdict.BAD:
        raise Refused(ActionResult.OTHER_REASON)


def _flags(bits: bytes, blocks: int) -> bytearray:
    """Return one octet for each bit, which is quicker to search."""
    text = "".join(f"{octet:08b}" for octet in bits)[:blocks].ljust(blocks, "0")
    return bytearray(map(int, text))


def image_transfer(thing: ImageTransfer, receiver: ImageReceiver) -> ImageReceiver:
    """Bind an image transfer object."""
    declared = ImageTransfer
    thing.bind(declared.image_transferred_blocks_status, receiver.shown_blocks)
    thing.bind(declared.image_first_not_transferred_block_number, lambda: receiver.first_missing)
    thing.bind(declared.image_transfer_status, lambda: receiver.status)
    thing.bind(declared.image_to_activate_info, receiver.shown_images)
    thing.bind_method(declared.image_transfer_initiate, receiver.initiate)
    thing.bind_method(declared.image_block_transfer, receiver.take)
    thing.bind_method(declared.image_verify, lambda _argument: receiver.verify())
    thing.bind_method(declared.image_activate, lambda _argument: receiver.activate())
    return receiver
