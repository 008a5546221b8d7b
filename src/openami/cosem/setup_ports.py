# SPDX-License-Identifier: Apache-2.0
"""Interface classes that set up ports and networks (DLMS UA 1000-1 Ed. 12, 4.7 to 4.9).

They describe what a meter's interfaces are set to; the interfaces themselves are elsewhere.
"""

from typing import NamedTuple

from openami.cosem.kinds import (
    BOOLEAN,
    DOUBLE_LONG_UNSIGNED,
    ENUM,
    INTEGER,
    LOGICAL_NAME,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method

_RW = Access.READ_WRITE


class IecLocalPortSetup(InterfaceClass, class_id=19, version=1):
    """The optical or electrical local port (IEC 62056-21); baud rates are codes 0 to 9."""

    default_mode = Attribute(2, ENUM, access=_RW)
    default_baud = Attribute(3, ENUM, access=_RW)
    prop_baud = Attribute(4, ENUM, access=_RW)
    response_time = Attribute(5, ENUM, access=_RW)
    device_addr = Attribute(6, OCTETS, access=_RW)
    pass_p1 = Attribute(7, OCTETS, access=Access.WRITE)
    pass_p2 = Attribute(8, OCTETS, access=Access.WRITE)
    pass_w5 = Attribute(9, OCTETS, access=Access.WRITE)


class IecHdlcSetup(InterfaceClass, class_id=23, version=1):
    """An HDLC port: speed, window, longest frames, time-outs (4.7.3)."""

    comm_speed = Attribute(2, ENUM, access=_RW)
    window_size_transmit = Attribute(3, UNSIGNED, access=_RW)
    window_size_receive = Attribute(4, UNSIGNED, access=_RW)
    max_info_field_length_transmit = Attribute(5, LONG_UNSIGNED, access=_RW)
    max_info_field_length_receive = Attribute(6, LONG_UNSIGNED, access=_RW)
    inter_octet_time_out = Attribute(7, LONG_UNSIGNED, access=_RW)  # milliseconds
    inactivity_time_out = Attribute(8, LONG_UNSIGNED, access=_RW)  # seconds
    device_address = Attribute(9, LONG_UNSIGNED, access=_RW)


class TcpUdpSetup(InterfaceClass, class_id=41, version=0):
    """A TCP or UDP port (4.9.1), e.g. 0.0.25.0.0.255."""

    tcp_udp_port = Attribute(2, LONG_UNSIGNED, access=_RW)
    ip_reference = Attribute(3, LOGICAL_NAME, access=_RW)
    mss = Attribute(4, LONG_UNSIGNED, access=_RW)  # octets
    nb_of_sim_conn = Attribute(5, UNSIGNED)
    inactivity_time_out = Attribute(6, LONG_UNSIGNED, access=_RW)  # seconds


class IpOption(NamedTuple):
    """One option of the IPv4 header."""

    ip_option_type: int
    ip_option_length: int
    ip_option_data: bytes


class Ipv4Setup(InterfaceClass, class_id=42, version=0):
    """The IPv4 addresses of an interface (4.9.2); an address is a number of 32 bits."""

    dl_reference = Attribute(2, LOGICAL_NAME, access=_RW)
    ip_address = Attribute(3, DOUBLE_LONG_UNSIGNED, access=_RW)
    multicast_ip_address = Attribute(4, array(DOUBLE_LONG_UNSIGNED), access=_RW)
    ip_options = Attribute(5, array(structure(IpOption, UNSIGNED, UNSIGNED, OCTETS)), access=_RW)
    subnet_mask = Attribute(6, DOUBLE_LONG_UNSIGNED, access=_RW)
    gateway_ip_address = Attribute(7, DOUBLE_LONG_UNSIGNED, access=_RW)
    use_dhcp_flag = Attribute(8, BOOLEAN, access=_RW)
    primary_dns_address = Attribute(9, DOUBLE_LONG_UNSIGNED, access=_RW)
    secondary_dns_address = Attribute(10, DOUBLE_LONG_UNSIGNED, access=_RW)

    add_mc_ip_address = Method(1, DOUBLE_LONG_UNSIGNED)
    delete_mc_ip_address = Method(2, DOUBLE_LONG_UNSIGNED)
    get_nbof_mc_ip_addresses = Method(3, INTEGER, LONG_UNSIGNED)


class MacAddressSetup(InterfaceClass, class_id=43, version=0):
    """The MAC address of an interface (4.9.4)."""

    mac_address = Attribute(2, OCTETS, access=_RW)


class QualityOfService(NamedTuple):
    """Five classes of a GPRS profile."""

    precedence: int
    delay: int
    reliability: int
    peak_throughput: int
    mean_throughput: int


class QualityOfServices(NamedTuple):
    """What a GPRS modem takes at least, and what it asks for."""

    default: QualityOfService
    requested: QualityOfService


_QOS = structure(QualityOfService, UNSIGNED, UNSIGNED, UNSIGNED, UNSIGNED, UNSIGNED)


class GprsModemSetup(InterfaceClass, class_id=45, version=0):
    """Access point and PIN of a cellular modem (4.9.7)."""

    apn = Attribute(2, OCTETS, access=_RW)
    pin_code = Attribute(3, LONG_UNSIGNED, access=_RW)
    quality_of_service = Attribute(4, structure(QualityOfServices, _QOS, _QOS), access=_RW)
