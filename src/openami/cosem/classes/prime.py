# SPDX-License-Identifier: Apache-2.0
"""Interface classes of PRIME power line (DLMS UA 1000-1 Ed. 12, 4.12).

The MAC address of a PRIME station is an object of class 43 at 0.0.28.6.0.255.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import coded, noted
from openami.cosem.kinds import (
    DOUBLE_LONG_UNSIGNED,
    INTEGER,
    LONG,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method

_RW: Final = Access.READ_WRITE


class PrimeLlcSscsSetup(InterfaceClass, class_id=80, version=0, methods_at=0x20):
    """Convergence layer for IEC 61334-4-32, e.g. 0.0.28.0.0.255.

    After deregistration the addresses are FFE and 0.
    """

    service_node_address = Attribute(2, LONG_UNSIGNED, dynamic=True)
    base_node_address = Attribute(3, LONG_UNSIGNED, dynamic=True)

    reset = Method(1)


class PrimePhyCounters(InterfaceClass, class_id=81, version=0):
    """What the physical layer counted, e.g. 0.0.28.1.0.255."""

    phy_stats_crc_incorrect_count = Attribute(2, LONG_UNSIGNED, dynamic=True)
    phy_stats_crc_fail_count = Attribute(3, LONG_UNSIGNED, dynamic=True)
    phy_stats_tx_drop_count = Attribute(4, LONG_UNSIGNED, dynamic=True)
    phy_stats_rx_drop_count = Attribute(5, LONG_UNSIGNED, dynamic=True)

    reset = Method(1)


class PrimeMacSetup(InterfaceClass, class_id=82, version=0):
    """What the MAC layer is set to, e.g. 0.0.28.2.0.255."""

    mac_min_switch_search_time = Attribute(2, UNSIGNED, access=_RW)
    mac_max_promotion_pdu = Attribute(3, UNSIGNED, access=_RW)
    mac_promotion_pdu_tx_period = Attribute(4, UNSIGNED, access=_RW)
    mac_beacons_per_frame = Attribute(5, UNSIGNED, access=_RW)
    mac_scp_max_tx_attempts = Attribute(6, UNSIGNED, access=_RW)
    mac_ctl_re_tx_timer = Attribute(7, UNSIGNED, access=_RW)
    mac_max_ctl_re_tx = Attribute(8, UNSIGNED, access=_RW)


class PrimeMacState(IntEnum):
    """What a station is in its network."""

    DISCONNECTED = 0
    TERMINAL = 1
    SWITCH = 2
    BASE = 3


class PrimeMacCapabilities(IntEnum):
    """Bits of `mac_capabilities`; bit 7 has no name."""

    SWITCH = 0
    PACKET_AGGREGATION = 1
    CONTENTION_FREE_PERIOD = 2
    DIRECT_CONNECTION = 3
    MULTICAST = 4
    PHY_ROBUSTNESS_MANAGEMENT = 5
    ARQ = 6
    DIRECT_CONNECTION_SWITCHING = 8
    MULTICAST_SWITCHING = 9
    PHY_ROBUSTNESS_SWITCHING = 10
    ARQ_BUFFERING_SWITCHING = 11


class PrimeMacFunctionalParameters(InterfaceClass, class_id=83, version=0):
    """Where a station stands in its network, e.g. 0.0.28.3.0.255."""

    mac_lnid = Attribute(2, LONG, dynamic=True)
    mac_lsid = Attribute(3, UNSIGNED, dynamic=True)
    mac_sid = Attribute(4, UNSIGNED, dynamic=True)
    mac_sna = Attribute(5, OCTETS, dynamic=True)
    mac_state = Attribute(6, coded(PrimeMacState), dynamic=True)
    mac_scp_length = Attribute(7, LONG, dynamic=True)
    mac_node_hierarchy_level = Attribute(8, UNSIGNED, dynamic=True)
    mac_beacon_slot_count = Attribute(9, UNSIGNED, dynamic=True)
    mac_beacon_rx_slot = Attribute(10, UNSIGNED, dynamic=True)
    mac_beacon_tx_slot = Attribute(11, UNSIGNED, dynamic=True)
    mac_beacon_rx_frequency = Attribute(12, UNSIGNED, dynamic=True)
    mac_beacon_tx_frequency = Attribute(13, UNSIGNED, dynamic=True)
    mac_capabilities = Attribute(14, noted(LONG_UNSIGNED, PrimeMacCapabilities))


class PrimeMacCounters(InterfaceClass, class_id=84, version=0):
    """What the MAC layer counted, e.g. 0.0.28.4.0.255."""

    mac_tx_data_pkt_count = Attribute(2, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_rx_data_pkt_count = Attribute(3, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_tx_ctrl_pkt_count = Attribute(4, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_rx_ctrl_pkt_count = Attribute(5, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_csma_fail_count = Attribute(6, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_csma_ch_busy_count = Attribute(7, DOUBLE_LONG_UNSIGNED, dynamic=True)

    reset = Method(1)


class MulticastEntry(NamedTuple):
    """A multicast group and its members."""

    mcast_entry_lcid: int
    mcast_entry_members: int


class DirectConnection(NamedTuple):
    """A direct connection between two stations."""

    src_sid: int
    src_lnid: int
    src_lcid: int
    dst_sid: int
    dst_lnid: int
    dst_lcid: int
    did: bytes


class AvailableSwitch(NamedTuple):
    """A switch that is heard."""

    sna: bytes
    lsid: int
    level: int
    rx_level: int
    rx_snr: int


class PhyCommunication(NamedTuple):
    """How a station is heard and spoken to."""

    eui: bytes
    tx_power: int
    tx_coding: int
    rx_coding: int
    rx_level: int
    snr: int
    tx_power_modified: int
    tx_coding_modified: int
    rx_coding_modified: int


class PrimeMacNetworkAdministration(InterfaceClass, class_id=85, version=0):
    """Whom a station knows, e.g. 0.0.28.5.0.255."""

    mac_list_multicast_entries = Attribute(
        2, array(structure(MulticastEntry, INTEGER, LONG)), dynamic=True
    )
    mac_list_switch_table = Attribute(3, array(LONG), dynamic=True)
    mac_list_direct_table = Attribute(
        4, array(structure(DirectConnection, *(LONG,) * 6, OCTETS)), dynamic=True
    )
    mac_list_available_switches = Attribute(
        5,
        array(structure(AvailableSwitch, OCTETS, LONG, INTEGER, INTEGER, INTEGER)),
        dynamic=True,
    )
    mac_list_phy_comm = Attribute(
        6, array(structure(PhyCommunication, OCTETS, *(INTEGER,) * 8)), dynamic=True
    )

    reset = Method(1)


class PrimeApplicationIdentification(InterfaceClass, class_id=86, version=0):
    """Firmware and maker of a PRIME modem, e.g. 0.0.28.7.0.255."""

    firmware_version = Attribute(2, OCTETS)
    vendor_id = Attribute(3, LONG_UNSIGNED)
    product_id = Attribute(4, LONG_UNSIGNED)
