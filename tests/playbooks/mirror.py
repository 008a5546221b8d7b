# SPDX-License-Identifier: Apache-2.0
"""The demo meter with an object whose methods give back what they are given."""

from typing import Any

from openami.cosem.kinds import OCTETS
from openami.cosem.model import InterfaceClass, Method, Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.obis import Obis
from playbooks.demo_meter import MANAGER, DemoMeter, Link

MIRROR = Obis.parse("0.128.96.0.0.255")
MANUFACTURER_CLASS = 40_000


class Mirror(InterfaceClass, class_id=MANUFACTURER_CLASS, version=0):
    """A class of a manufacturer: gives back what it is given, twice."""

    reflect = Method(1, OCTETS, OCTETS)
    swallow = Method(2, OCTETS)


def twice(octets: bytes) -> bytes:
    if octets == b"refuse":
        raise Refused(ActionResult.TEMPORARY_FAILURE)
    return octets * 2


def mirrored(**changes: Any) -> Link:
    meter = DemoMeter(rows=0)
    mirror = Mirror(MIRROR)
    mirror.bind_method(Mirror.reflect, twice)
    mirror.bind_method(Mirror.swallow, lambda _octets: None)
    meter.add(mirror)
    link = Link(meter, MANAGER, **changes)
    link.run(link.client.associate())
    link.wire.clear()
    return link
