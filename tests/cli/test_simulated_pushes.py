# SPDX-License-Identifier: Apache-2.0
"""Pushes of a simulated meter to where its push setup says."""

import pytest

from openami.cli.simulated_pushes import PushCarrier, Pusher
from openami.cosem.classes.push import MessageType, SendDestinationAndMethod
from openami.cosem.model import Refused
from openami.dlms.data import OctetString
from openami.dlms.obis import Obis
from openami.transport.url import Url
from playbooks.demo_meter import DemoMeter

PUSH = Obis(0, 0, 25, 9, 0, 255)
MAKERS_OWN = 200


def pusher(said: list[str], to: Url | None = None) -> Pusher:
    return Pusher(DemoMeter(), to=to, ciphering=None, now_us=lambda: 0, said=said.append)


@pytest.mark.parametrize("service", [3, MAKERS_OWN])
def test_a_service_that_is_neither_tcp_nor_udp_is_refused(service: int) -> None:
    said: list[str] = []
    where = SendDestinationAndMethod(service, OctetString(b"127.0.0.1:4059"), MessageType(0))
    with pytest.raises(Refused):
        PushCarrier(pusher(said), PUSH).send(where, b"")
    assert said[0].startswith(f"push setup {PUSH} cannot push to '127.0.0.1:4059': ")
