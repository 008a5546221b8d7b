# SPDX-License-Identifier: Apache-2.0
"""What a meter says of its firmware, over DLMS image transfer (DLMS UA 1000-1 Ed. 12, 4.4.6).

Everything here asks or sends once; who asks when, and what follows, is in `campaigns`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from openami.cosem.asking import image as asking
from openami.cosem.classes.image_transfer import ImageTransfer, ImageTransferStatus
from openami.cosem.classes.measurement import Data
from openami.cosem.client import Client, Steps
from openami.cosem.refusals import AccessError
from openami.dlms.obis import Obis
from openami.exchange.campaign import Progress, Runs
from openami.exchange.waves import Plan
from openami.headend.associations import MeterSession
from openami.store.releases import Release

T = TypeVar("T")

PROGRESS: Final[Mapping[ImageTransferStatus, Progress]] = {
    ImageTransferStatus.NOT_INITIATED: Progress.NOTHING,
    ImageTransferStatus.INITIATED: Progress.RECEIVING,
    ImageTransferStatus.VERIFICATION_INITIATED: Progress.CHECKING,
    ImageTransferStatus.VERIFICATION_SUCCESSFUL: Progress.CHECKED,
    ImageTransferStatus.VERIFICATION_FAILED: Progress.REJECTED,
    ImageTransferStatus.ACTIVATION_INITIATED: Progress.ACTIVATING,
    ImageTransferStatus.ACTIVATION_SUCCESSFUL: Progress.ACTIVATED,
    ImageTransferStatus.ACTIVATION_FAILED: Progress.NOT_ACTIVATED,
}


class Asked(Protocol):
    """An open association, with a meter or with a concentrator itself."""

    @property
    def client(self) -> Client:
        """The services; pass what they return to `run`."""

    async def run(self, steps: Steps[T]) -> T:
        """Hold a conversation."""


@dataclass(frozen=True, slots=True)
class Objects:
    """Where a kind of meter has what; `signature` is None where it shows no hash."""

    transfer: Obis
    version: Obis
    signature: Obis | None

    @classmethod
    def of(cls, known: Mapping[str, Obis]) -> "Objects | None":
        """Return them by the names of a companion profile; None where a needed one is missing."""
        transfer, version = known.get("image_transfer"), known.get("firmware_version")
        if transfer is None or version is None:
            return None
        return cls(transfer, version, known.get("firmware_signature"))


@dataclass(frozen=True, slots=True)
class Said:
    """What a meter says that it runs; `signature` is empty where it shows none."""

    version: str
    signature: bytes

    def runs(self, release: Release, plan: Plan, before: str) -> Runs:
        """Return whether that is a release, what ran before, or something else."""
        if self.signature and len(self.signature) == len(release.digest):
            is_release = self.signature == release.digest
        else:
            is_release = shows(self.version, plan.shown_as or release.version)
        if is_release:
            return Runs.RELEASE
        return Runs.BEFORE if self.version == before else Runs.OTHER


def shows(text: str, version: str) -> bool:
    """Tell whether a text names a version, and not a longer one: 1.1 is neither 11.1 nor 1.1.5."""
    digits = rf"(?<!\d)(?<!\d\.){re.escape(version)}(?!\.?\d)"
    return re.search(digits, text) is not None


def is_missing(error: AccessError) -> bool:
    """Tell whether a meter says that it has no such object."""
    return error.result.name in {"OBJECT_UNDEFINED", "OBJECT_UNAVAILABLE"}


async def read_said(session: Asked, at: Objects) -> Said:
    """Ask which firmware runs; a meter may lack the hash that its kind has."""
    client = session.client
    shown = await session.run(client.get(Data.value, at=at.version))
    version = _text(shown)
    signature = b""
    if at.signature is not None:
        try:
            value = await session.run(client.get(Data.value, at=at.signature))
            signature = bytes(value) if isinstance(value, bytes | bytearray) else b""
        except AccessError as error:
            if not is_missing(error):
                raise
    return Said(version, signature)


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", errors="replace")
    return str(value)


async def read_progress(session: Asked, at: Objects) -> Progress:
    """Ask how the transfer stands."""
    return PROGRESS[await session.run(asking.status(session.client, at=at.transfer))]


async def block_octets(session: MeterSession, at: Objects) -> int:
    """Ask how large blocks are."""
    client = session.client
    return await session.run(client.get(ImageTransfer.image_block_size, at=at.transfer))


async def enable(session: MeterSession, at: Objects) -> None:
    """Let the meter take images where it does not yet."""
    client, row = session.client, ImageTransfer.image_transfer_enabled
    if not await session.run(client.get(row, at=at.transfer)):
        await session.run(client.set(row, True, at=at.transfer))  # noqa: FBT003  it is the value


async def holds_verified(session: Asked, at: Objects, release: Release) -> bool:
    """Tell whether the verified image at the meter is the release; true where it lists none.

    A meter lists what it verified by identifier, size and what its maker takes for a signature.
    """
    client = session.client
    found = await session.run(client.get(ImageTransfer.image_to_activate_info, at=at.transfer))
    return not found or any(
        bytes(each.image_identification) == release.identifier
        or bytes(each.image_signature) == release.digest
        for each in found
    )
