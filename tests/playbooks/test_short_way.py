# SPDX-License-Identifier: Apache-2.0
"""The short way of a protected GET answers octet for octet what the long way answers."""

from dataclasses import replace
from typing import Any

import pytest

from dlmskeys import SUITE_0, SUITE_1, SUITES, keys
from openami.cosem.classes.access_control import KeyId, SecuritySetup
from openami.cosem.classes.disconnect import DisconnectControl
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register
from openami.cosem.classes.time_event import Clock
from openami.cosem.device import SECURITY_SETUP
from openami.cosem.refusals import AccessError, ExceptionResponseError
from openami.cosem.server import ServerConnection
from openami.cosem.serving.security_setup import wrap_keys
from openami.dlms.data import OctetString
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.suites import AUTHENTICATED_AND_ENCRYPTED, SecurityPolicy, SecuritySuite
from playbooks.demo_meter import (
    CLOCK,
    DISCONNECT,
    ENERGY,
    LDN,
    LOAD_PROFILE,
    NAME,
    NOTE,
    Link,
    entropy,
)
from playbooks.secure_meter import SecureMeter, secure_link


class Twin:
    """Two servers; the answers of the first are held to those of the second, without short way."""

    def __init__(self, *meters: SecureMeter) -> None:
        self.first, self.second = (ServerConnection(each, entropy=entropy()) for each in meters)
        self.short = 0  # requests that found a short way

    def receive(self, client_sap: int, apdu: bytes) -> bytes | None:
        ours, theirs = (each._associations.get(client_sap) for each in (self.first, self.second))
        if ours is not None and theirs is not None:
            self.short += ours._short_way is not None
            theirs._short_way = None
        answer = self.first.receive(client_sap, apdu)
        assert self.second.receive(client_sap, apdu) == answer
        return answer

    def following(self) -> bytes | None:
        answer = self.first.following()
        assert self.second.following() == answer
        return answer


class Twins(Link):
    """A client of two meters that are alike."""

    def __init__(
        self, suite: SecuritySuite = SUITE_0, client: dict[str, Any] | None = None, **meter: Any
    ) -> None:
        first, second = (SecureMeter(suite, **meter) for _ in range(2))
        like = secure_link(suite, meter=first, **(client or {}))
        self.meters = first, second
        self.meter, self.client_sap, self.client = first, like.client_sap, like.client
        self.twin = Twin(first, second)
        self.server: Any = self.twin
        self.wire = []
        self.run(self.client.associate())
        self.wire.clear()
        self.begun = self.twin.short

    @property
    def short(self) -> int:
        """How many requests found a short way since the association opened."""
        return self.twin.short - self.begun

    def energy(self) -> int:
        found = self.run(self.client.get(Register.value, at=ENERGY))
        assert isinstance(found, int)
        return found


@pytest.mark.parametrize("suite", [SUITE_0, *SUITES])
def test_a_register_that_is_read_again(suite: SecuritySuite) -> None:
    twins = Twins(suite)
    assert len({twins.energy() for _ in range(3)}) == 1
    assert twins.short == 3


def test_all_else_is_served_as_ever() -> None:
    twins = Twins()
    client, run = twins.client, twins.run
    for _ in range(2):
        assert run(client.get(Data.value, at=LDN)) == NAME
        run(client.get(Clock.time, at=CLOCK))
        with pytest.raises(AccessError):
            run(client.get(Data.value, at=Obis.parse("1.2.3.4.5.6")))
        run(client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
        run(client.get(ProfileGeneric.buffer, at=LOAD_PROFILE))  # in blocks
        run(client.get_list([(Register.value, ENERGY), (Data.value, LDN)]))
    assert twins.short == len(twins.wire) // 2


def test_what_came_before_and_what_was_altered_is_refused() -> None:
    twins = Twins()
    twins.energy()
    before = twins.wire[-2]
    refusal = twins.send(before)
    assert refusal[0] == 0xD8
    for at in range(len(before)):
        altered = bytearray(before)
        altered[6] += 1  # a counter that did not come yet
        altered[at] ^= 0x41
        assert twins.send(bytes(altered))[0] == 0xD8
    assert twins.energy() == twins.energy()


def test_a_key_that_changes() -> None:
    twins = Twins()
    twins.energy()
    key = b"\x33" * 16
    offer = {KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY: key}
    assert isinstance(twins.meter, SecureMeter)
    wrapped = wrap_keys(twins.meter.master_key, offer)
    twins.run(twins.client.act(SecuritySetup.key_transfer, wrapped, at=SECURITY_SETUP))
    with pytest.raises(ExceptionResponseError):  # the old key is worth nothing from now on
        twins.energy()
    held = keys(SUITE_0)
    twins.client.use_keys(Cipher(replace(held, encryption_key=key)))
    assert twins.energy() == twins.energy()


@pytest.mark.parametrize("room_octets", [64, 70, 0xFFFF])
def test_answers_that_fit_barely_or_not(room_octets: int) -> None:
    twins = Twins(client={"max_receive_pdu_octets": room_octets})
    for _ in range(3):
        assert twins.energy() == twins.energy()
        assert twins.run(twins.client.get(Data.value, at=LDN)) == NAME


@pytest.mark.parametrize("room_octets", [200, 0xFFFF], ids=["in blocks", "at once"])
@pytest.mark.parametrize("length", [10, 110, 3000])
def test_an_answer_is_read_once_however_long_it_is(length: int, room_octets: int) -> None:
    twins = Twins(client={"max_receive_pdu_octets": room_octets})
    text = OctetString(bytes(length))
    reads = 0

    def value() -> OctetString:
        nonlocal reads
        reads += 1
        return text

    first, second = (meter[NOTE] for meter in twins.meters)
    first.bind(Data.value, value)
    second.bind(Data.value, lambda: text)
    for count in range(1, 4):
        assert twins.run(twins.client.get(Data.value, at=NOTE)) == text
        assert reads == count


def test_no_short_way_where_answers_are_signed() -> None:
    policy = AUTHENTICATED_AND_ENCRYPTED | SecurityPolicy.DIGITALLY_SIGNED_RESPONSE
    twins = Twins(SUITE_1, policy=policy, client={"policy": policy})
    assert twins.energy() == twins.energy()
    assert twins.short == 0
