# SPDX-License-Identifier: Apache-2.0
"""Interface classes of local ports and modems (DLMS UA 1000-1 Ed. 12, 4.7).

They describe what a meter's interfaces are set to; the interfaces themselves are elsewhere.
Networks over cellular modems are `cellular`.  What the versions before the latest had is known for
few rows; such a version serves the rows of the latest and says so.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import coded, untyped
from openami.cosem.classes.references import WINDOWS, Baud
from openami.cosem.kinds import ENUM, LONG_UNSIGNED, OCTETS, UNSIGNED, array, structure
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import Array

_RW: Final = Access.READ_WRITE
_BAUD: Final = coded(Baud)
_ONE: Final = "type: one implementation"
_LIKE_LATER: Final = "what differs from the version after it is not known; its rows are served"


class IecLocalPortSetupV0(InterfaceClass, class_id=19, version=0, unsure=_LIKE_LATER):
    """The optical or electrical local port (IEC 62056-21), version 0."""

    default_mode = Attribute(2, ENUM, access=_RW)
    default_baud = Attribute(3, _BAUD, access=_RW)
    prop_baud = Attribute(4, _BAUD, access=_RW)
    response_time = Attribute(5, ENUM, access=_RW)
    device_addr = Attribute(6, OCTETS, access=_RW)
    pass_p1 = Attribute(7, OCTETS, access=Access.WRITE, unsure=_ONE)
    pass_p2 = Attribute(8, OCTETS, access=Access.WRITE, unsure=_ONE)
    pass_w5 = Attribute(9, OCTETS, access=Access.WRITE, unsure=_ONE)


class IecLocalPortSetup(IecLocalPortSetupV0, class_id=19, version=1):
    """The optical or electrical local port (IEC 62056-21)."""


class IecHdlcSetupV0(InterfaceClass, class_id=23, version=0):
    """An HDLC port, version 0: the longest frames are told in one octet."""

    comm_speed = Attribute(2, _BAUD, access=_RW)
    window_size_transmit = Attribute(3, UNSIGNED, access=_RW)
    window_size_receive = Attribute(4, UNSIGNED, access=_RW)
    max_info_field_length_transmit = Attribute(5, UNSIGNED, access=_RW, unsure=_ONE)
    max_info_field_length_receive = Attribute(6, UNSIGNED, access=_RW, unsure=_ONE)
    inter_octet_time_out = Attribute(7, LONG_UNSIGNED, access=_RW)  # milliseconds
    inactivity_time_out = Attribute(8, LONG_UNSIGNED, access=_RW)  # seconds
    device_address = Attribute(9, LONG_UNSIGNED, access=_RW)


class IecHdlcSetup(InterfaceClass, class_id=23, version=1):
    """An HDLC port: speed, window, longest frames, time-outs (IEC 62056-46)."""

    comm_speed = Attribute(2, _BAUD, access=_RW)
    window_size_transmit = Attribute(3, UNSIGNED, access=_RW)
    window_size_receive = Attribute(4, UNSIGNED, access=_RW)
    max_info_field_length_transmit = Attribute(5, LONG_UNSIGNED, access=_RW)
    max_info_field_length_receive = Attribute(6, LONG_UNSIGNED, access=_RW)
    inter_octet_time_out = Attribute(7, LONG_UNSIGNED, access=_RW)  # milliseconds
    inactivity_time_out = Attribute(8, LONG_UNSIGNED, access=_RW)  # seconds
    device_address = Attribute(9, LONG_UNSIGNED, access=_RW)


class TwistedPairMode(IntEnum):
    """Whether a twisted-pair interface listens."""

    INACTIVE = 0
    ACTIVE = 1


class IecTwistedPairSetupV0(InterfaceClass, class_id=24, version=0, unsure=_LIKE_LATER):
    """A twisted-pair bus (IEC 62056-3-1), version 0."""

    mode = Attribute(2, coded(TwistedPairMode), access=_RW, unsure=_ONE)
    speed = Attribute(3, _BAUD, access=_RW, unsure=_ONE)
    primary_address_list = Attribute(4, untyped(Array), access=_RW, unsure=_ONE)
    tabi_list = Attribute(5, untyped(Array), access=_RW, unsure=_ONE)


class IecTwistedPairSetup(IecTwistedPairSetupV0, class_id=24, version=1):
    """A twisted-pair bus (IEC 62056-3-1)."""


class InitializationStep(NamedTuple):
    """What is sent to a modem, what it should answer, and the pause after it."""

    request: bytes
    response: bytes
    delay_after_response: int


class ModemConfigurationV0(InterfaceClass, class_id=27, version=0):
    """A telephone modem, version 0."""

    comm_speed = Attribute(2, _BAUD, access=_RW)
    initialization_string = Attribute(3, untyped(Array), access=_RW, unsure="members of an element")
    modem_profile = Attribute(4, array(OCTETS), access=_RW)


class ModemConfiguration(InterfaceClass, class_id=27, version=1):
    """How a modem is initialised, and its profile of AT commands."""

    comm_speed = Attribute(2, _BAUD, access=_RW)
    initialization_string = Attribute(
        3, array(structure(InitializationStep, OCTETS, OCTETS, LONG_UNSIGNED)), access=_RW
    )
    modem_profile = Attribute(4, array(OCTETS), access=_RW)


class AutoAnswerMode(IntEnum):
    """When a modem answers calls."""

    DEDICATED = 0
    LIMITED_CALLS = 1
    LIMITED_CONNECTIONS = 2
    NONE = 3


class AutoAnswerStatus(IntEnum):
    """Whether a modem answers now."""

    INACTIVE = 0
    ACTIVE = 1
    LOCKED = 2


class CallType(IntEnum):
    """What a call is for."""

    NORMAL = 0
    WAKE_UP = 1


class NumberOfRings(NamedTuple):
    """Rings before the modem answers, inside and outside of the listening window."""

    in_window: int
    out_of_window: int


class AllowedCaller(NamedTuple):
    """A caller that is answered."""

    caller_id: bytes
    call_type: int


class AutoAnswerV0(
    InterfaceClass, class_id=28, version=0, unsure="that it ends with attribute 6: one source"
):
    """When a modem answers, version 0."""

    mode = Attribute(2, coded(AutoAnswerMode), access=_RW)
    listening_window = Attribute(3, WINDOWS, access=_RW)
    status = Attribute(4, coded(AutoAnswerStatus), dynamic=True)
    number_of_calls = Attribute(5, UNSIGNED, access=_RW)
    number_of_rings = Attribute(6, structure(NumberOfRings, UNSIGNED, UNSIGNED), access=_RW)


class AutoAnswer(AutoAnswerV0, class_id=28, version=2):
    """When and whom a modem answers."""

    list_of_allowed_callers = Attribute(
        7, array(structure(AllowedCaller, OCTETS, coded(CallType))), access=_RW
    )


class AutoConnectMode(IntEnum):
    """When a device connects by itself; 200 to 255 are the manufacturer's."""

    NONE = 0
    ANY_TIME = 1
    IN_WINDOW = 2
    REGULAR_IN_WINDOW_ALARM_ANY_TIME = 3
    SMS_PLMN = 4
    SMS_PSTN = 5
    E_MAIL = 6
    PERMANENT = 101
    PERMANENT_IN_WINDOW = 102
    PERMANENT_OR_CONNECT = 103
    ON_CONNECT = 104


class AutoConnectV0(
    InterfaceClass, class_id=29, version=0, unsure="that it has no method: one source"
):
    """When and whom a telephone modem calls, version 0."""

    mode = Attribute(2, coded(AutoConnectMode), access=_RW)
    repetitions = Attribute(3, UNSIGNED, access=_RW)
    repetition_delay = Attribute(4, LONG_UNSIGNED, access=_RW)
    calling_window = Attribute(5, WINDOWS, access=_RW)
    destination_list = Attribute(6, array(OCTETS), access=_RW)


class AutoConnectV1(AutoConnectV0, class_id=29, version=1, unsure=_LIKE_LATER):
    """Version 1: a call can be asked for."""

    connect = Method(1)


class AutoConnect(AutoConnectV1, class_id=29, version=2):
    """When and to whom a device connects."""
