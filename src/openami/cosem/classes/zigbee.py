# SPDX-License-Identifier: Apache-2.0
"""Interface classes of ZigBee (DLMS UA 1000-1 Ed. 12, 4.14)."""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import RAW, bits
from openami.cosem.kinds import (
    BOOLEAN,
    DATE_TIME,
    DOUBLE_LONG_UNSIGNED,
    ENUM,
    INTEGER,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import BitString
from openami.dlms.datetimes import CosemDateTime

_RW: Final = Access.READ_WRITE


class ZigbeeSasStartup(InterfaceClass, class_id=101, version=0):
    """What a station starts with, e.g. 0.0.30.0.0.255."""

    short_address = Attribute(2, LONG_UNSIGNED, access=_RW)
    extended_pan_id = Attribute(3, OCTETS, access=_RW)
    pan_id = Attribute(4, LONG_UNSIGNED, access=_RW)
    channel_mask = Attribute(5, DOUBLE_LONG_UNSIGNED, access=_RW)
    protocol_version = Attribute(6, UNSIGNED, access=_RW)
    stack_profile = Attribute(7, ENUM, access=_RW)
    start_up_control = Attribute(8, UNSIGNED, access=_RW)
    trust_center_address = Attribute(9, OCTETS, access=_RW)
    link_key = Attribute(10, OCTETS, access=_RW)
    network_key = Attribute(11, OCTETS, access=_RW)
    use_insecure_join = Attribute(12, BOOLEAN, access=_RW)


class ZigbeeSasJoin(InterfaceClass, class_id=102, version=0):
    """How a station joins, e.g. 0.0.30.1.0.255."""

    scan_attempts = Attribute(2, UNSIGNED, access=_RW)
    time_between_scans = Attribute(3, LONG_UNSIGNED, access=_RW)  # seconds
    rejoin_interval = Attribute(4, LONG_UNSIGNED, access=_RW)  # seconds
    rejoin_retry_interval = Attribute(5, LONG_UNSIGNED, access=_RW)  # seconds


class ZigbeeSasApsFragmentation(InterfaceClass, class_id=103, version=0):
    """How long messages are cut, e.g. 0.0.30.2.0.255."""

    aps_interframe_delay = Attribute(2, LONG_UNSIGNED, access=_RW)  # milliseconds
    aps_max_window_size = Attribute(3, LONG_UNSIGNED, access=_RW)


class ZigbeeDeviceStatus(IntEnum):
    """Bits of `ZigbeeDevice.status`."""

    AUTHORIZED = 0
    REPORTING = 1
    UNAUTHORIZED_BUT_REPORTED = 2
    AUTHORIZED_AFTER_SWAP_OUT = 3
    SEP_TRANSMITTING = 4


class ZigbeeDevice(NamedTuple):
    """A station of the network and how it is heard."""

    mac_address: bytes
    status: BitString
    max_rssi: int
    average_rssi: int
    min_rssi: int
    max_lqi: int
    average_lqi: int
    min_lqi: int
    last_communication: CosemDateTime
    number_of_hops: int
    transmission_failures: int
    transmission_successes: int
    application_version: int
    stack_version: int


_DEVICE = structure(
    ZigbeeDevice,
    OCTETS,
    bits(5, ZigbeeDeviceStatus),
    *(INTEGER,) * 3,
    *(UNSIGNED,) * 3,
    DATE_TIME,
    *(UNSIGNED,) * 5,
)


class ZigbeeNetworkControl(InterfaceClass, class_id=104, version=0, methods_at=0x20):
    """The coordinator of a network, e.g. 0.0.30.3.0.255; a device has at most one.

    Methods 1, 2, 10 and 11 are mandatory.
    """

    enable_disable_joining = Attribute(
        2, RAW, access=_RW, unsure="type: one implementation sends an unsigned"
    )
    join_timeout = Attribute(3, LONG_UNSIGNED, access=_RW)
    active_devices = Attribute(4, array(_DEVICE), dynamic=True, unsure="members: single source")

    register_device = Method(1, RAW)
    unregister_device = Method(2, RAW)
    unregister_all_devices = Method(3, RAW)
    backup_pan = Method(4, RAW)
    restore_pan = Method(5, RAW)
    identify_device = Method(6, RAW)
    remove_mirror = Method(7, RAW)
    update_network_key = Method(8, RAW)
    update_link_key = Method(9, RAW)
    create_pan = Method(10, RAW)
    remove_pan = Method(11, RAW)


class ZigbeeTunnelSetup(InterfaceClass, class_id=105, version=0, unsure="single source"):
    """DLMS through a ZigBee tunnel, e.g. 0.0.30.4.0.255."""

    maximum_incoming_transfer_size = Attribute(2, LONG_UNSIGNED, access=_RW)
    maximum_outgoing_transfer_size = Attribute(3, LONG_UNSIGNED, access=_RW)
    protocol_address = Attribute(4, OCTETS, access=_RW)
    close_tunnel_timeout = Attribute(5, LONG_UNSIGNED, access=_RW)  # seconds
