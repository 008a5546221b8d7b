# SPDX-License-Identifier: Apache-2.0
"""Push: a meter sends what it has without being asked (DLMS UA 1000-1 Ed. 12, 4.4.8).

`PushSetup` is the object that describes it.  `PushMessage` is what a load-profile push of this
system says: who sends, which push setup, and rows of the profile as they stand in the ring.  How
the APDU is protected is `dlms.security`, when it is sent again is the meter's business.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple, Protocol, Self

from openami.cosem.choices import coded
from openami.cosem.classes.measurement import CAPTURE_OBJECT
from openami.cosem.classes.protection import PROTECTION_PARAMETERS
from openami.cosem.classes.references import RESTRICTION, WINDOWS, Restriction
from openami.cosem.kinds import (
    DOUBLE_LONG_UNSIGNED,
    INTEGER,
    LOGICAL_NAME,
    LONG_UNSIGNED,
    OCTETS,
    TAGGED_DATE_TIME,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.axdr import Reader, encode_octet_string
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4.8"


class TransportService(IntEnum):
    """How a push travels; 200 to 255 are the manufacturer's."""

    TCP = 0
    UDP = 1
    FTP = 2
    SMTP = 3
    SMS = 4
    HDLC = 5
    M_BUS = 6
    ZIGBEE = 7
    GATEWAY = 8
    COAP_RELIABLE = 9  # codes 9 and 10: single source
    COAP_UNRELIABLE = 10


class MessageType(IntEnum):
    """How a push is encoded; 128 to 255 are the manufacturer's."""

    A_XDR = 0
    XML = 1


TRANSPORT_TCP: Final = TransportService.TCP
TRANSPORT_GATEWAY: Final = TransportService.GATEWAY
MESSAGE_A_XDR: Final = MessageType.A_XDR


class SendDestinationAndMethod(NamedTuple):
    """Where a push goes: transport service, destination (an address as text), message type."""

    transport_service: int
    destination: bytes
    message: int


_DESTINATION = structure(
    SendDestinationAndMethod, coded(TransportService), OCTETS, coded(MessageType)
)


class PushSetup(InterfaceClass, class_id=40, version=0, methods_at=0x38):
    """What is pushed, where to, and how often it is tried again (4.4.8, version 0)."""

    push_object_list = Attribute(2, array(CAPTURE_OBJECT), access=Access.READ_WRITE)
    send_destination_and_method = Attribute(3, _DESTINATION, access=Access.READ_WRITE)
    communication_window = Attribute(4, WINDOWS, access=Access.READ_WRITE)
    randomisation_start_interval = Attribute(5, LONG_UNSIGNED, access=Access.READ_WRITE)  # s
    number_of_retries = Attribute(6, UNSIGNED, access=Access.READ_WRITE)
    repetition_delay = Attribute(7, LONG_UNSIGNED, access=Access.READ_WRITE)  # seconds

    push = Method(1)


class PushSetupV1(PushSetup, class_id=40, version=1):
    """Version 1: over which port, to which client, protected how."""

    port_reference = Attribute(8, LOGICAL_NAME, access=Access.READ_WRITE)
    push_client_sap = Attribute(9, INTEGER, access=Access.READ_WRITE)
    push_protection_parameters = Attribute(10, PROTECTION_PARAMETERS, access=Access.READ_WRITE)


class PushObject(NamedTuple):
    """One attribute that is pushed, which of its rows, and which of their columns."""

    class_id: int
    logical_name: Obis
    attribute_index: int
    data_index: int
    restriction: Restriction
    columns: tuple[CaptureObject, ...]


class RepetitionDelay(NamedTuple):
    """Seconds before a retry: the shortest, its growth in hundredths, the longest."""

    repetition_delay_min: int
    repetition_delay_exponent: int
    repetition_delay_max: int


class PushOperationMethod(IntEnum):
    """What makes the meter send again."""

    UNCONFIRMED_RETRY_ON_FAILURE = 0
    UNCONFIRMED_RETRY_ON_MISSING_CONFIRMATION = 1
    CONFIRMED = 2


class ConfirmationParameters(NamedTuple):
    """From when on pushes are confirmed; the interval in seconds."""

    confirmation_start_date: CosemDateTime
    confirmation_interval: int


class PushSetupV2(InterfaceClass, class_id=40, version=2):
    """Version 2: parts of profiles, growing delays, confirmed pushes."""

    push_object_list = Attribute(
        2,
        array(
            structure(
                PushObject,
                LONG_UNSIGNED,
                LOGICAL_NAME,
                INTEGER,
                LONG_UNSIGNED,
                RESTRICTION,
                array(CAPTURE_OBJECT),
            )
        ),
        access=Access.READ_WRITE,
    )
    send_destination_and_method = Attribute(3, _DESTINATION, access=Access.READ_WRITE)
    communication_window = Attribute(4, WINDOWS, access=Access.READ_WRITE)
    randomisation_start_interval = Attribute(5, LONG_UNSIGNED, access=Access.READ_WRITE)  # s
    number_of_retries = Attribute(6, UNSIGNED, access=Access.READ_WRITE)
    repetition_delay = Attribute(
        7,
        structure(RepetitionDelay, LONG_UNSIGNED, LONG_UNSIGNED, LONG_UNSIGNED),
        access=Access.READ_WRITE,
    )
    port_reference = Attribute(8, LOGICAL_NAME, access=Access.READ_WRITE)
    push_client_sap = Attribute(9, INTEGER, access=Access.READ_WRITE)
    push_protection_parameters = Attribute(10, PROTECTION_PARAMETERS, access=Access.READ_WRITE)
    push_operation_method = Attribute(11, coded(PushOperationMethod), access=Access.READ_WRITE)
    confirmation_parameters = Attribute(
        12,
        structure(ConfirmationParameters, TAGGED_DATE_TIME, DOUBLE_LONG_UNSIGNED),
        access=Access.READ_WRITE,
    )
    last_confirmation_date_time = Attribute(13, TAGGED_DATE_TIME, dynamic=True)

    push = Method(1)
    reset = Method(2)


class PushSetupV3(
    PushSetupV2,
    class_id=40,
    version=3,
    unsure="what differs from version 2 is not known; its rows are served",
):
    """Version 3."""


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
