# SPDX-License-Identifier: Apache-2.0
"""Push: a meter sends what it has without being asked (DLMS UA 1000-1 Ed. 12, 4.4.8).

`PushSetup` is the object that describes it.  `PushMessage` is what a load-profile push of this
system says: who sends, which push setup, and rows of the profile as they stand in the ring.  How
the APDU is protected is `dlms.security`, when it is sent again is the meter's business.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, Self

from openami.cosem.kinds import (
    DATE_TIME,
    ENUM,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.measurement import CAPTURE_OBJECT
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.apdu.fields import LongInvokeIdAndPriority
from openami.dlms.axdr import Reader, encode_octet_string
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4.8"

TRANSPORT_TCP: Final = 0
TRANSPORT_GATEWAY: Final = 8
MESSAGE_A_XDR: Final = 0


class SendDestinationAndMethod(NamedTuple):
    """Where a push goes: transport service, destination (an address as text), message type."""

    transport_service: int
    destination: bytes
    message: int


class Window(NamedTuple):
    """A time in which pushes may be sent."""

    start: CosemDateTime
    end: CosemDateTime


class PushSetup(InterfaceClass, class_id=40, version=0):
    """What is pushed, where to, and how often it is tried again (version 0)."""

    push_object_list = Attribute(2, array(CAPTURE_OBJECT), access=Access.READ_WRITE)
    send_destination_and_method = Attribute(
        3, structure(SendDestinationAndMethod, ENUM, OCTETS, ENUM), access=Access.READ_WRITE
    )
    communication_window = Attribute(
        4, array(structure(Window, DATE_TIME, DATE_TIME)), access=Access.READ_WRITE
    )
    randomisation_start_interval = Attribute(5, LONG_UNSIGNED, access=Access.READ_WRITE)  # s
    number_of_retries = Attribute(6, UNSIGNED, access=Access.READ_WRITE)
    repetition_delay = Attribute(7, LONG_UNSIGNED, access=Access.READ_WRITE)  # seconds

    push = Method(1)


class PushSink(Protocol):
    """Who carries out a push; a port that the meter binds."""

    def push(self) -> None:
        """Send now what the push object list names; raises `Refused` if that cannot be begun."""
        ...


def push_setup(setup: PushSetup, sink: PushSink) -> PushSetup:
    """Bind the method of a push setup."""
    setup.bind_method(PushSetup.push, lambda _argument: sink.push())
    return setup


@dataclass(frozen=True, slots=True, kw_only=True)
class PushMessage:
    """A data-notification that carries rows of a profile.

    ======  ===========================  ==============================================
    octets  field                        value
    ======  ===========================  ==============================================
    1       tag                          0F
    4       long_invoke_id_and_priority  bits 23..0 id, 30 confirmed
    1 or 13 date_time                    00, or 0C and 12 octets
    2                                    02 03: the body is a structure of three
    2 + n   logical_device_name          09, length, octets
    8       push_setup                   09 06, logical name
    n       rows                         an array, encoded
    ======  ===========================  ==============================================
    """

    TAG = 0x0F

    long_invoke_id_and_priority: LongInvokeIdAndPriority
    date_time: bytes = b""
    logical_device_name: bytes
    push_setup: Obis
    rows: bytes

    def encode(self) -> bytes:
        return b"".join(
            (
                bytes((self.TAG,)),
                self.long_invoke_id_and_priority.encode(),
                encode_octet_string(self.date_time),
                b"\x02\x03\x09",
                encode_octet_string(self.logical_device_name),
                b"\x09\x06",
                self.push_setup.encode(),
                self.rows,
            )
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        invoke_id = LongInvokeIdAndPriority.read(reader)
        date_time = reader.octet_string("date-time")
        if len(date_time) not in {0, 12}:
            problem = f"date-time has {len(date_time)} octets, not 0 or 12"
            raise reader.refusal(problem, back=len(date_time), clause=CLAUSE)
        reader.expect(0x02, "tag of the push body").expect(0x03, "elements of the push body")
        name = reader.expect(0x09, "tag of the logical device name").octet_string("its name")
        reader.expect(0x09, "tag of the push setup").expect(0x06, "length of its logical name")
        setup = Obis.decode(reader.take(6, "logical name of the push setup"))
        if reader.peek() != 0x01:
            raise reader.refusal("rows of the push body are no array", clause=CLAUSE)
        return cls(
            long_invoke_id_and_priority=invoke_id,
            date_time=date_time,
            logical_device_name=name,
            push_setup=setup,
            rows=reader.rest(),
        )
