# SPDX-License-Identifier: Apache-2.0
"""A meter of `chain` whose firmware is updated: the product's flash, boot and image transfer.

What is simulated is that a program runs: a start is the boot's decision, a trial a short time.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from chain import NOW, Chain, TestMeter
from openami.cosem.behaviour.firmware_sink import FirmwareSink
from openami.cosem.behaviour.image import ImageReceiver, image_transfer
from openami.cosem.classes.access_control import SecuritySetup
from openami.cosem.classes.image_transfer import ImageBlock, ImageTransfer
from openami.cosem.classes.measurement import Data
from openami.cosem.device import LogicalDevice
from openami.cosem.model import InterfaceClass, Refused
from openami.cosem.serving.broadcasts import GroupKeyStore, GroupProtector, broadcast_client
from openami.cosem.serving.security_setup import security_setup
from openami.device.images import FIRMWARE_SIGNATURE, IMAGE_TRANSFER
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import OctetString, VisibleString
from openami.exchange.events import EventCode
from openami.exchange.uplink import BROADCAST_CLIENT, BROADCAST_SETUP
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS
from openami.firmware.boot import Running, boot, prepare
from openami.firmware.flash import SimulatedFlash
from openami.firmware.image import Image, Version
from openami.firmware.keys import VerifyingKey
from openami.firmware.sign import Recipe, sign
from openami.firmware.update import Update
from openami.firmware.verify import Policy, verify
from openami.lifecycle.plan import HEAD_END_TITLE
from openami.meter.objects import BROADCAST_GRANTS, FIRMWARE
from openami.store import releases
from openami.store.database import Database
from openami.store.releases import Release
from openami.transport.url import Url

KEY: Final = ec.derive_private_key(0x0A31, ec.SECP256R1())
POLICY: Final = Policy(keys=(VerifyingKey.of(KEY),))
BLOCK_OCTETS: Final = 1024
BLOCKS: Final = 24


def image(minor: int, octets: int = BLOCKS * BLOCK_OCTETS - 700) -> bytes:
    """Return a signed image 1.`minor`.0 of so many octets of payload."""
    recipe = Recipe(version=Version(1, minor, 0), security_counter=minor + 1)
    return sign(bytes((minor + n) & 0xFF for n in range(octets)), recipe, KEY).encode()


FIRST: Final = image(0, 512)
SECOND: Final = image(1)


def add_release(database: Database, octets: bytes = SECOND) -> Release:
    """Put a release into a store, as planning does."""
    good = verify(Image.decode(octets), POLICY)
    release = Release.of(
        octets,
        name="second.bin",
        version=str(good.version),
        digest=good.digest,
        keyhash=good.keyhash,
        by="ada",
    )
    releases.add(database, release, octets)
    return release


class CountingReceiver(ImageReceiver):
    """Counts blocks as they come, also those that are there already."""

    came: list[int]
    refuse_block: bool = False
    on_block: Callable[[int], None] = staticmethod(lambda _count: None)

    def take(self, block: ImageBlock) -> None:
        if self.refuse_block:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        super().take(block)
        self.came.append(block.image_block_number)
        self.on_block(len(self.came))


@dataclass
class UpdatableMeter(TestMeter):
    """A meter with two banks."""

    __test__ = False

    healthy: bool = True  # whether its self-tests pass with the new image
    trial_s: float = 0.05
    deaf_after_activation: bool = False
    flash: SimulatedFlash = field(default_factory=lambda: SimulatedFlash(M2351_FLASH_OCTETS))
    came: list[int] = field(default_factory=list)
    starts: int = 0
    logs: EventCode | None = None  # at the start of an image on trial
    url: Url | None = None
    in_groups: bool = True  # whether it takes a broadcast key
    replug: Callable[[], None] = lambda: None  # of one that hangs on a line

    def __post_init__(self) -> None:
        prepare(self.flash, M2351, POLICY, FIRST)
        self._tasks: set[asyncio.Task[None]] = set()
        self._start()
        super().__post_init__()

    def _start(self) -> None:
        found = boot(self.flash, M2351, POLICY)
        assert isinstance(found, Running)
        self.running, self.starts = found, self.starts + 1
        self.update = Update(self.flash, M2351, POLICY)

    @cached_property
    def group(self) -> GroupKeyStore:
        """Keys for what is broadcast; they outlive a loss of power."""
        return GroupKeyStore(self.master_key, record=lambda *_: None)

    def _device(self) -> LogicalDevice:
        device = super()._device()
        device.associations[BROADCAST_CLIENT] = broadcast_client(
            BROADCAST_CLIENT, GroupProtector(self.group.take), HEAD_END_TITLE, BROADCAST_GRANTS
        )
        return device

    @property
    def version(self) -> str:
        return f"openami {self.running.verified.version}"

    def _objects(self) -> Iterator[InterfaceClass]:
        yield from super()._objects()
        yield Data(FIRMWARE, value=VisibleString(self.version))
        yield Data(FIRMWARE_SIGNATURE, value=OctetString(self.running.verified.digest))
        thing = ImageTransfer(
            IMAGE_TRANSFER, image_block_size=BLOCK_OCTETS, image_transfer_enabled=True
        )
        self.receiver = CountingReceiver(
            thing, FirmwareSink(self.update, self._restart_soon), resumes=True
        )
        self.receiver.came = self.came
        image_transfer(thing, self.receiver)
        yield thing
        if self.in_groups:
            setup = SecuritySetup(
                BROADCAST_SETUP,
                security_suite=0,
                client_system_title=HEAD_END_TITLE,
                server_system_title=self.title,
            )
            yield security_setup(setup, self.group)

    def _restart_soon(self) -> None:
        task = asyncio.create_task(self.restart(0.02))
        self._tasks.add(task)

    async def restart(self, after_s: float = 0.0) -> None:
        """Lose power; what boots is tried, and confirmed or left."""
        await asyncio.sleep(after_s)
        await self.unplug()
        if self.deaf_after_activation:
            return
        self._boots()
        await self.plug()
        if self.running.trial:
            await asyncio.sleep(self.trial_s)
            if self.update.conclude({"self-test": lambda: self.healthy}) is None:
                self.receiver.tick(0)
            else:
                await self.unplug()
                self._boots()
                await self.plug()

    def _boots(self) -> None:
        self._start()
        self.device = self._device()
        if self.logs is not None and self.running.trial:
            self.log_event(NOW, self.logs)
        self.receiver.tick(0)

    async def unplug(self) -> None:
        """Cut the line."""
        if self.wire is not None and self.wire.is_open:
            self.wire.close()
            await self.wire.gone()

    async def plug(self) -> None:
        """Dial again; without `url` somebody else keeps the meter connected."""
        self.replug()
        if self.url is not None:
            await self.connect(self.url)


def make_updatable(chain: Chain) -> dict[int, UpdatableMeter]:
    """Give a chain meters that can be updated, in the place of its own."""
    made = {number: UpdatableMeter(chain.layout, number) for number in chain.meters}
    chain.meters = dict(made)
    return made
