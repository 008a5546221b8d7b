# SPDX-License-Identifier: Apache-2.0
"""Interface classes of M-Bus (DLMS UA 1000-1 Ed. 12, 4.8): ports, and meters behind this one."""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import RAW, coded
from openami.cosem.classes.internet import COUNTER_CAPTURE
from openami.cosem.classes.references import WINDOWS, Baud
from openami.cosem.kinds import (
    ANY,
    DOUBLE_LONG_UNSIGNED,
    LOGICAL_NAME,
    LONG_UNSIGNED,
    OCTETS,
    TAGGED_DATE_TIME,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import Data
from openami.dlms.datetimes import CosemDateTime

_RW: Final = Access.READ_WRITE
_BAUD: Final = coded(Baud)
_ONE: Final = "type: one implementation"


class AddressState(IntEnum):
    """Whether a slave has an address since it last started."""

    NOT_ASSIGNED = 0
    ASSIGNED = 1


class MBusSlavePortSetup(InterfaceClass, class_id=25, version=0):
    """A port where this meter is an M-Bus slave."""

    default_baud = Attribute(2, _BAUD, access=_RW)
    avail_baud = Attribute(3, _BAUD, access=_RW)
    addr_state = Attribute(4, coded(AddressState), dynamic=True, unsure=_ONE)
    bus_address = Attribute(5, UNSIGNED, access=_RW, unsure=_ONE)


class CaptureDefinitionElement(NamedTuple):
    """One value to capture: data and value information blocks."""

    data_information_block: bytes
    value_information_block: bytes


class MBusData(NamedTuple):
    """One value to send to the slave."""

    data_information_block: bytes
    value_information_block: bytes
    data: Data


class EncryptionKeyStatus(IntEnum):
    """What the slave knows of its key."""

    NO_KEY = 0
    KEY_SET = 1
    KEY_TRANSFERRED = 2
    KEY_SET_AND_TRANSFERRED = 3
    KEY_IN_USE = 4


_DEFINITION = array(structure(CaptureDefinitionElement, OCTETS, OCTETS))
_MBUS_DATA = array(structure(MBusData, OCTETS, OCTETS, ANY))


class MBusClient(
    InterfaceClass,
    class_id=72,
    version=0,
    methods_at=0x60,
    unsure="that it ends with attribute 12 follows from its short-name offset",
):
    """A meter behind this one (4.8.3), e.g. 0.1.24.1.0.255."""

    mbus_port_reference = Attribute(2, LOGICAL_NAME, access=_RW)
    capture_definition = Attribute(3, _DEFINITION, access=_RW)
    capture_period = Attribute(4, DOUBLE_LONG_UNSIGNED, access=_RW)  # seconds
    primary_address = Attribute(5, UNSIGNED, access=_RW)
    identification_number = Attribute(6, DOUBLE_LONG_UNSIGNED, access=_RW)
    manufacturer_id = Attribute(7, LONG_UNSIGNED, access=_RW)
    device_version = Attribute(8, UNSIGNED, access=_RW)
    device_type = Attribute(9, UNSIGNED, access=_RW)
    access_number = Attribute(10, UNSIGNED, dynamic=True)
    status = Attribute(11, UNSIGNED, dynamic=True)
    alarm = Attribute(12, UNSIGNED, dynamic=True)

    slave_install = Method(1, UNSIGNED)
    slave_deinstall = Method(2)
    capture = Method(3)
    reset_alarm = Method(4)
    synchronize_clock = Method(5)
    data_send = Method(6, _MBUS_DATA)
    set_encryption_key = Method(7, OCTETS)
    transfer_key = Method(8, OCTETS)


class MBusClientV1(
    MBusClient,
    class_id=72,
    version=1,
    methods_at=0x70,
    unsure="short-name offset of the methods: single source",
):
    """Version 1: with configuration and key status (4.8.3)."""

    configuration = Attribute(13, LONG_UNSIGNED, dynamic=True)
    encryption_key_status = Attribute(14, coded(EncryptionKeyStatus), dynamic=True)


class MBusClientV2(
    MBusClientV1,
    class_id=72,
    version=2,
    unsure="what differs from version 1 is not known; its rows are served",
):
    """Version 2."""


class WirelessModeQChannelV0(
    InterfaceClass,
    class_id=73,
    version=0,
    unsure="what differs from version 1 is not known; its rows are served",
):
    """A wireless M-Bus channel of mode Q (EN 13757-5), version 0."""

    addr_state = Attribute(2, RAW, dynamic=True)
    device_address = Attribute(3, RAW, access=_RW)
    address_mask = Attribute(4, RAW, access=_RW)


class WirelessModeQChannel(WirelessModeQChannelV0, class_id=73, version=1):
    """A wireless M-Bus channel of mode Q (EN 13757-5)."""


class MBusMasterPortSetup(InterfaceClass, class_id=74, version=0):
    """A port where this meter is an M-Bus master, e.g. 0.0.24.6.0.255."""

    comm_speed = Attribute(2, _BAUD, access=_RW)


class MBusPortState(IntEnum):
    """Who may use an M-Bus port."""

    NO_ACCESS = 0
    TEMPORARILY_NO_ACCESS = 1
    LIMITED_ACCESS = 2
    UNLIMITED_ACCESS = 3
    WIRELESS_M_BUS = 4


class DataHeaderType(IntEnum):
    """Which M-Bus header stands before the APDU."""

    NONE = 0
    SHORT = 1
    LONG = 2


class DlmsServerMBusPortSetup(InterfaceClass, class_id=76, version=0):
    """A DLMS server that is reached over M-Bus, e.g. 0.0.24.8.0.255."""

    profile_selection = Attribute(2, LOGICAL_NAME, access=_RW)
    port_communication_state = Attribute(3, coded(MBusPortState), dynamic=True)
    data_header_type = Attribute(4, coded(DataHeaderType), access=_RW)
    primary_address = Attribute(5, UNSIGNED, access=_RW)
    identification_number = Attribute(6, DOUBLE_LONG_UNSIGNED, access=_RW)
    manufacturer_id = Attribute(7, LONG_UNSIGNED, access=_RW)
    mbus_version = Attribute(8, UNSIGNED, access=_RW)
    device_type = Attribute(9, UNSIGNED, access=_RW)
    max_pdu_size = Attribute(10, LONG_UNSIGNED, access=_RW)  # octets
    listening_window = Attribute(11, WINDOWS, access=_RW)


class LinkStatus(IntEnum):
    """Whether the other end is heard."""

    NONE = 0
    NORMAL = 1
    TEMPORARILY_INTERRUPTED = 2
    PERMANENTLY_INTERRUPTED = 3


class BroadcastFrames(NamedTuple):
    """Broadcasts heard from one client, and the last of them."""

    client_id: int
    counter: int
    time_stamp: CosemDateTime


class MBusDiagnostic(
    InterfaceClass,
    class_id=77,
    version=0,
    methods_at=0x48,
    unsure="short-name offset of the methods: single source",
):
    """What an M-Bus port counted, e.g. 0.0.24.9.0.255."""

    received_signal_strength = Attribute(2, UNSIGNED, dynamic=True)
    channel_id = Attribute(3, UNSIGNED, dynamic=True)
    link_status = Attribute(4, coded(LinkStatus), dynamic=True)
    broadcast_frames_counter = Attribute(
        5,
        array(structure(BroadcastFrames, UNSIGNED, DOUBLE_LONG_UNSIGNED, TAGGED_DATE_TIME)),
        dynamic=True,
    )
    transmissions_counter = Attribute(6, DOUBLE_LONG_UNSIGNED, dynamic=True)
    fcs_ok_frames_counter = Attribute(7, DOUBLE_LONG_UNSIGNED, dynamic=True)
    fcs_nok_frames_counter = Attribute(8, DOUBLE_LONG_UNSIGNED, dynamic=True)
    capture_time = Attribute(9, COUNTER_CAPTURE, dynamic=True)

    reset = Method(1)
