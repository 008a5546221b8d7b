# SPDX-License-Identifier: Apache-2.0
"""The demo meter with a client that stands without an AARQ, and what is notified."""

from dataclasses import replace
from typing import Any

from openami.cosem.asking.association import ALL_SERVICES
from openami.cosem.client import Client
from openami.cosem.device import AssociationPolicy, Ciphering, PreEstablished
from openami.cosem.rights import FULL_ACCESS
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.notification import (
    DataNotification,
    EventNotification,
)
from openami.dlms.data import DoubleLongUnsigned, OctetString
from openami.dlms.hls import Mechanism
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from playbooks.demo_meter import (
    CLIENT_TITLE,
    ENERGY,
    KEYS,
    METER_TITLE,
    READER,
    DemoMeter,
    Link,
    Sap,
)

STANDING = Sap(70)
QUIET = OctetString(b"quiet")
EVENT = EventNotification(
    attribute=AttributeDescriptor(class_id=3, instance_id=ENERGY, attribute_id=2),
    value=DoubleLongUnsigned(123_456),
)
PUSH = DataNotification(
    long_invoke_id_and_priority=LongInvokeIdAndPriority.of(5),
    notification_body=OctetString(bytes(range(200))),
)


def writing_meter(**terms: Any) -> DemoMeter:
    """The demo meter; its reader may write, and one client stands without an AARQ."""
    meter = DemoMeter()
    reader = meter.associations[READER]
    meter.associations[READER] = replace(reader, grants=FULL_ACCESS)
    ciphering = Ciphering(cipher=Cipher(KEYS), counters=CounterBlock(0, 2**32 - 1))
    meter.associations[STANDING] = AssociationPolicy(
        client_sap=STANDING,
        ciphering=ciphering,
        grants=FULL_ACCESS,
        pre_established=PreEstablished(client_title=CLIENT_TITLE, **terms),
    )
    return meter


def standing(**terms: Any) -> Link:
    link = Link(writing_meter(**terms), READER)
    link.client_sap = STANDING
    changes = {} if terms.get("confirmed", True) else {"confirmed": False}
    link.client = Client(
        replace(
            link.client.parameters,
            client_sap=STANDING,
            mechanism=Mechanism.LOWEST,
            cipher=Cipher(KEYS),
            system_title=CLIENT_TITLE,
            server_title=METER_TITLE,
            conformance=ALL_SERVICES,
            general_blocks=False,
            **changes,
        ),
        entropy=bytes,
        counters=CounterBlock(0, 2**32 - 1),
    )
    link.client.take_up()
    return link
