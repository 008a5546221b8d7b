# SPDX-License-Identifier: Apache-2.0
"""Blocks of an image by broadcast: what a meter takes under the key of its group, and what not.

Each test runs with the keys in the meter's own process and with them in its secure world.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device.secure.worlds import InMemoryClient, in_memory
from headend.updatable import BLOCK_OCTETS, BLOCKS, FIRST, POLICY, SECOND
from meter.house import HEAD_END, KEYS, MeterInMemory, Reader, config_in
from meter.test_walled import SECRETS
from openami.cosem.asking import image as asking
from openami.cosem.behaviour.firmware_sink import FirmwareSink
from openami.cosem.classes.access_control import KeyId, SecuritySetup
from openami.cosem.classes.image_transfer import ImageTransfer
from openami.cosem.refusals import AccessError
from openami.cosem.serving.security_setup import wrap_keys
from openami.cosem.serving.watching import SecurityIncident, SecurityReport
from openami.device.images import IMAGE_TRANSFER, Firmware
from openami.device.secure.access import Caller
from openami.device.secure.channels import AHEAD_OF_BROADCASTS, MOST_ORIGINATORS, bring_in
from openami.dlms.apdu.action import ActionRequestNormal
from openami.dlms.apdu.fields import AttributeDescriptor, MethodDescriptor
from openami.dlms.apdu.get import GetRequestNormal
from openami.dlms.data import Integer
from openami.dlms.errors import ReplayError, SecurityError
from openami.dlms.security.broadcast import GroupKeys, seal_broadcast
from openami.dlms.security.counters import InvocationCounter
from openami.dlms.security.credentials import MasterKey
from openami.exchange.uplink import BROADCAST_CLIENT, BROADCAST_SETUP
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS
from openami.firmware.boot import boot, prepare
from openami.firmware.flash import SimulatedFlash
from openami.firmware.update import Update
from openami.meter.keys import GROUP_FILE, WalledSecurity
from openami.meter.objects import DISCONNECT, LDN
from openami.runtime.errors import ConfigurationError

GROUP = GroupKeys(encryption=bytes(range(0x80, 0x90)), authentication=bytes(range(0x90, 0xA0)))
OTHER = GroupKeys(encryption=bytes(range(0xA0, 0xB0)), authentication=bytes(range(0xB0, 0xC0)))


class Heard:
    """What a meter reported of what it refused."""

    def __init__(self) -> None:
        self.incidents: list[SecurityIncident] = []

    def report(self, report: SecurityReport) -> None:
        self.incidents.append(report.incident)


class Yard:
    """A meter in memory that takes images, with or without a secure world of its own."""

    def __init__(self, home: Path, *, walled: bool) -> None:
        self.walled, self.config = walled, config_in(home)
        self.bank = SimulatedFlash(M2351_FLASH_OCTETS)
        prepare(self.bank, M2351, POLICY, FIRST)
        self.secure = SimulatedFlash(M2351_FLASH_OCTETS)
        if walled:
            rooms = in_memory(self.secure).world.rooms
            bring_in(rooms.its, rooms.ps, SECRETS, first_counter=1000)
            self.config = replace(self.config, keys=None)
        self.start()

    def start(self) -> None:
        """Start or restart all of it, as after a loss of power."""
        boot(self.bank, M2351, POLICY)
        sink = FirmwareSink(Update(self.bank, M2351, POLICY), lambda: None)
        firmware = Firmware(version="openami 1.0.0", signature=bytes(32), sink=sink)
        security = None
        if self.walled:
            self.world = in_memory(self.secure)
            client = InMemoryClient(self.world.connect(Caller.NON_SECURE))
            security = WalledSecurity(client, self.config)
        self.meter = MeterInMemory(self.config, security, firmware)
        self.heard = Heard()
        self.ears = self.meter.management.connection(watch=self.heard)

    def manager(self) -> Reader:
        connection = self.meter.management.connection()
        reader = Reader(connection.receive, 1)
        reader.run(reader.client.associate())
        return reader

    def transfer(self, keys: GroupKeys = GROUP, master: bytes = KEYS.kek) -> None:
        reader = self.manager()
        wrapped = wrap_keys(MasterKey(master), named(keys))
        reader.run(reader.client.act(SecuritySetup.key_transfer, wrapped, at=BROADCAST_SETUP))

    def initiate(self) -> None:
        reader = self.manager()
        reader.run(asking.initiate(reader.client, b"second", len(SECOND)))

    def there(self) -> str:
        reader = self.manager()
        return reader.run(asking.received(reader.client))

    def broadcast(
        self, apdu: bytes, counter: int, keys: GroupKeys = GROUP, title: bytes = HEAD_END
    ) -> None:
        octets = seal_broadcast(keys.cipher(), InvocationCounter(counter), title, apdu)
        assert self.ears.receive(BROADCAST_CLIENT, octets) is None  # whatever it is


def named(keys: GroupKeys) -> dict[KeyId, bytes]:
    return {
        KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY: keys.encryption,
        KeyId.AUTHENTICATION_KEY: keys.authentication,
    }


def block(number: int) -> bytes:
    return asking.unconfirmed_block(SECOND, number, BLOCK_OCTETS)


def marks(*numbers: int) -> str:
    return "".join("1" if number in numbers else "0" for number in range(BLOCKS))


@pytest.fixture(params=[False, True], ids=["own", "walled"])
def yard(tmp_path: Path, request: Any) -> Yard:
    return Yard(tmp_path, walled=request.param)


def test_blocks_under_the_key_of_the_group_are_taken_and_verify(yard: Yard) -> None:
    yard.transfer()
    yard.initiate()
    for number in range(BLOCKS):
        yard.broadcast(block(number), number + 1)
        yard.broadcast(block(number), BLOCKS + number + 1)  # nothing is known of what went before
        yard.broadcast(block(number), number + 1)

    assert yard.there() == marks(*range(BLOCKS))
    assert set(yard.heard.incidents) == {SecurityIncident.COUNTER_REFUSED}
    reader = yard.manager()
    while not reader.run(asking.verify(reader.client)):
        assert yard.meter.management.images is not None
        yard.meter.management.images.tick(0)


def test_without_a_transfer_of_keys_or_of_an_image_nothing_is_taken(yard: Yard) -> None:
    yard.broadcast(block(0), 1)
    yard.transfer()
    yard.broadcast(block(0), 2)
    yard.initiate()

    assert yard.there() == marks()


def test_replayed_and_forged_broadcasts_change_nothing(yard: Yard) -> None:
    yard.transfer()
    yard.initiate()
    yard.broadcast(block(3), 10)
    yard.initiate()  # the same image: what is there stays, so make it another
    reader = yard.manager()
    reader.run(asking.initiate(reader.client, b"third", len(SECOND)))
    yard.broadcast(block(3), 10)
    yard.broadcast(block(4), 9)
    yard.broadcast(block(5), 11, OTHER)
    yard.broadcast(block(6), 12, title=b"OAM\xff\xff\xff\xff\xff")
    half = GroupKeys(encryption=GROUP.encryption, authentication=OTHER.authentication)
    yard.broadcast(block(7), 13, half)

    assert yard.there() == marks()
    yard.broadcast(block(8), 11)
    assert yard.there() == marks(8)


def test_nothing_but_blocks_may_be_sent_and_nothing_is_answered(yard: Yard) -> None:
    def invoke(class_id: int, at: Any, method: int, confirmed: int = 0) -> bytes:
        return ActionRequestNormal(
            invoke_id_and_priority=0x80 | confirmed << 6,
            method=MethodDescriptor(class_id=class_id, instance_id=at, method_id=method),
            parameters=Integer(0),
        ).encode()

    yard.transfer()
    yard.initiate()
    name = AttributeDescriptor(class_id=1, instance_id=LDN, attribute_id=2)
    reads = [
        GetRequestNormal(invoke_id_and_priority=each, attribute=name).encode()
        for each in (0xC1, 0x81)
    ]
    tried = [
        invoke(70, DISCONNECT, 1),
        invoke(ImageTransfer.class_id, IMAGE_TRANSFER, 3),
        invoke(ImageTransfer.class_id, IMAGE_TRANSFER, 4),
        invoke(SecuritySetup.class_id, BROADCAST_SETUP, 2),
        invoke(70, DISCONNECT, 1, confirmed=1),
        *reads,
    ]
    for number, apdu in enumerate(tried):
        yard.broadcast(apdu, number + 1)

    assert yard.meter.management.wants_closed
    assert yard.there() == marks()
    yard.broadcast(block(1), len(tried) + 1)
    assert yard.there() == marks(1)


def test_plain_blocks_and_those_under_the_meters_own_keys_are_refused(yard: Yard) -> None:
    yard.transfer()
    yard.initiate()
    assert yard.ears.receive(BROADCAST_CLIENT, block(0)) is None
    own = GroupKeys(encryption=KEYS.guek, authentication=KEYS.gak)
    yard.broadcast(block(1), 50, own)

    assert yard.there() == marks()


def test_the_group_key_opens_no_other_association(yard: Yard) -> None:
    yard.transfer()
    yard.initiate()
    octets = seal_broadcast(GROUP.cipher(), InvocationCounter(1_000_000), HEAD_END, block(0))
    for client in (1, 16, 32, 65):
        yard.ears.receive(client, octets)

    assert yard.there() == marks()


def test_what_was_taken_is_refused_after_a_loss_of_power(yard: Yard) -> None:
    yard.transfer()
    yard.initiate()
    yard.broadcast(block(0), 5)
    yard.start()
    reader = yard.manager()
    reader.run(asking.initiate(reader.client, b"third", len(SECOND)))
    yard.broadcast(block(0), 5)
    assert yard.there() == marks()

    yard.broadcast(block(0), 6 + AHEAD_OF_BROADCASTS)
    assert yard.there() == marks(0)


def test_other_keys_take_the_place_of_the_former(yard: Yard) -> None:
    yard.transfer()
    yard.initiate()
    yard.transfer(OTHER)
    yard.broadcast(block(0), 1)
    yard.broadcast(block(1), 2, OTHER)

    assert yard.there() == marks(1)


def test_the_same_keys_once_more_open_no_window_again(yard: Yard) -> None:
    yard.transfer()
    yard.initiate()
    yard.broadcast(block(0), 7)
    yard.transfer()
    yard.broadcast(block(1), 7)

    assert yard.there() == marks(0)


@pytest.mark.parametrize(
    "change",
    [
        lambda keys: {KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY: keys.encryption},
        lambda keys: {KeyId.AUTHENTICATION_KEY: keys.authentication},
        lambda keys: named(keys) | {KeyId.MASTER_KEY: bytes(16)},
        lambda keys: named(keys) | {KeyId.AUTHENTICATION_KEY: bytes(32)},
        lambda _keys: {},
    ],
)
def test_half_a_set_or_more_than_one_is_refused_as_a_whole(
    yard: Yard, change: Callable[[GroupKeys], dict[KeyId, bytes]]
) -> None:
    yard.transfer()
    yard.initiate()
    reader = yard.manager()
    wrapped = wrap_keys(MasterKey(KEYS.kek), change(OTHER))
    with pytest.raises(AccessError):
        reader.run(reader.client.act(SecuritySetup.key_transfer, wrapped, at=BROADCAST_SETUP))
    with pytest.raises(AccessError):
        yard.transfer(OTHER, master=bytes(16))

    yard.broadcast(block(2), 1)
    assert yard.there() == marks(2)


def test_no_group_key_is_on_the_near_side_of_the_wall(tmp_path: Path) -> None:
    yard = Yard(tmp_path, walled=True)
    yard.transfer()

    assert not (tmp_path / GROUP_FILE).exists()
    assert GROUP.encryption not in bytes(yard.secure.content)


def test_each_originator_has_its_own_window_and_there_are_few(tmp_path: Path) -> None:
    yard = Yard(tmp_path, walled=True)
    yard.transfer()
    channels = yard.world.world.rooms.channels
    titles = [bytes(7) + bytes((number,)) for number in range(MOST_ORIGINATORS + 1)]

    def send(title: bytes, counter: int) -> None:
        octets = seal_broadcast(GROUP.cipher(), InvocationCounter(counter), title, block(0))
        channels.unprotect_broadcast(title, octets)  # type: ignore[union-attr]

    for title in titles[:-1]:
        send(title, 1)
    for title in titles[:-1]:
        with pytest.raises(ReplayError):
            send(title, 1)
        send(title, 2)
    with pytest.raises(SecurityError, match="originators"):
        send(titles[-1], 1)


def test_a_damaged_file_of_the_group_is_told_with_its_remedy(tmp_path: Path) -> None:
    yard = Yard(tmp_path, walled=False)
    yard.transfer()
    yard.start()
    (yard.config.home / GROUP_FILE).write_text('{"gbek": "00"}')

    with pytest.raises(ConfigurationError, match="remove it"):
        yard.start()
