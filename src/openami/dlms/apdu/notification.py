# SPDX-License-Identifier: Apache-2.0
"""What a server sends unasked: data notifications and event notifications.

DLMS UA 1000-2 Ed. 10, 9.3.10 and 9.3.11 (services), 9.5 (abstract syntax, APDU tags 0F, C2).
DataNotification-Confirm (tag 10) belongs to newer editions; its layout here is that of the one
implementation known to us, so it is sent to peers of our own only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Final, Self, TypeAlias

from openami.dlms import data
from openami.dlms.apdu.fields import AttributeDescriptor, read_date_time
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.axdr import (
    Reader,
    encode_octet_string,
    encode_optional_octet_string,
)
from openami.dlms.data import Data

_OCTET_STRING: Final = 0x09


@dataclass(frozen=True, slots=True, kw_only=True)
class DataNotification:
    """Values pushed by a server: Data-Notification.

    ======  ===========================  ==============================================
    octets  field                        value
    ======  ===========================  ==============================================
    1       tag                          0F
    4       long_invoke_id_and_priority  bits 23..0 id, 30 confirmed, 31 high priority
    1 + n   date_time                    length 0 or 12, then the octets
    n       notification_body            Data
    ======  ===========================  ==============================================

    Some meters write the date-time as a typed octet-string, ``09 0C`` and 12 octets;
    `tagged_date_time` tells, so that encoding gives back what arrived.
    """

    TAG: ClassVar = 0x0F

    long_invoke_id_and_priority: LongInvokeIdAndPriority
    date_time: bytes = b""
    notification_body: Data
    tagged_date_time: bool = False

    def encode(self) -> bytes:
        head = bytes((self.TAG,)) + self.long_invoke_id_and_priority.to_bytes(4)
        if self.tagged_date_time:
            head += bytes((_OCTET_STRING,))
        return head + encode_octet_string(self.date_time) + data.encode(self.notification_body)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        invoke_id = LongInvokeIdAndPriority.read(reader)
        # A date-time of 9 octets does not exist: 09 here is the tag of a typed octet-string.
        tagged = reader.peek() == _OCTET_STRING
        if tagged:
            reader.expect(_OCTET_STRING, "date-time tag")
        apdu = cls(
            long_invoke_id_and_priority=invoke_id,
            date_time=read_date_time(reader),
            notification_body=data.read(reader),
            tagged_date_time=tagged,
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class DataNotificationConfirm:
    """A data notification has arrived and is safe: Data-Notification-Confirm.

    ======  ===========================  ==================================
    octets  field                        value
    ======  ===========================  ==================================
    1       tag                          10
    4       long_invoke_id_and_priority  as in the notification
    1 + n   date_time                    length 0 or 12, then the octets
    ======  ===========================  ==================================
    """

    TAG: ClassVar = 0x10

    long_invoke_id_and_priority: LongInvokeIdAndPriority
    date_time: bytes = b""

    def encode(self) -> bytes:
        head = bytes((self.TAG,)) + self.long_invoke_id_and_priority.to_bytes(4)
        return head + encode_octet_string(self.date_time)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(
            long_invoke_id_and_priority=LongInvokeIdAndPriority.read(reader),
            date_time=read_date_time(reader),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNotification:
    """One attribute reported by a server: Event-Notification-Request.

    ======  ============  ============================================
    octets  field         value
    ======  ============  ============================================
    1       tag           C2
    1 + n   time          00 none; 01, length 12, the octets
    9       attribute     class-id 2, instance-id 6, attribute-id 1
    n       value         Data
    ======  ============  ============================================
    """

    TAG: ClassVar = 0xC2

    time: bytes | None = None
    attribute: AttributeDescriptor
    value: Data

    def encode(self) -> bytes:
        head = bytes((self.TAG,)) + encode_optional_octet_string(self.time)
        return head + self.attribute.encode() + data.encode(self.value)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(
            time=read_date_time(reader) if reader.present("presence of time") else None,
            attribute=AttributeDescriptor.read(reader),
            value=data.read(reader),
        )
        reader.end()
        return apdu


Notification: TypeAlias = EventNotification | DataNotification

NOTIFICATIONS: Final[Mapping[bytes, type[EventNotification] | type[DataNotification]]] = (
    MappingProxyType({bytes((kind.TAG,)): kind for kind in (EventNotification, DataNotification)})
)
"""What a server sends unasked by logical names, by the octet of its tag."""
