# SPDX-License-Identifier: Apache-2.0
"""Interface classes of the Internet (DLMS UA 1000-1 Ed. 12, 4.9): TCP, IP, PPP, SMTP, NTP, CoAP."""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import RAW, coded, noted, untyped
from openami.cosem.kinds import (
    ANY,
    BOOLEAN,
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
from openami.dlms.data import Array, Data
from openami.dlms.datetimes import CosemDateTime

_RW: Final = Access.READ_WRITE
_ONE: Final = "type: one implementation"


class TcpUdpSetup(InterfaceClass, class_id=41, version=0):
    """A TCP or UDP port (4.9.1), e.g. 0.0.25.0.0.255."""

    tcp_udp_port = Attribute(2, LONG_UNSIGNED, access=_RW)
    ip_reference = Attribute(3, LOGICAL_NAME, access=_RW)
    mss = Attribute(4, LONG_UNSIGNED, access=_RW)  # octets
    nb_of_sim_conn = Attribute(5, UNSIGNED)
    inactivity_time_out = Attribute(6, LONG_UNSIGNED, access=_RW)  # seconds


class IpOptionType(IntEnum):
    """Options of the IPv4 header."""

    RECORD_ROUTE = 0x07
    INTERNET_TIMESTAMP = 0x44
    SECURITY = 0x82
    LOOSE_SOURCE_ROUTE = 0x83
    STRICT_SOURCE_ROUTE = 0x89


class IpOption(NamedTuple):
    """One option of the IPv4 header."""

    ip_option_type: int
    ip_option_length: int
    ip_option_data: bytes


class Ipv4Setup(InterfaceClass, class_id=42, version=0, methods_at=0x60):
    """The IPv4 addresses of an interface (4.9.2); an address is a number of 32 bits."""

    dl_reference = Attribute(2, LOGICAL_NAME, access=_RW)
    ip_address = Attribute(3, DOUBLE_LONG_UNSIGNED, access=_RW)
    multicast_ip_address = Attribute(4, array(DOUBLE_LONG_UNSIGNED), access=_RW)
    ip_options = Attribute(
        5,
        array(structure(IpOption, noted(UNSIGNED, IpOptionType), UNSIGNED, OCTETS)),
        access=_RW,
    )
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


class LcpOptionType(IntEnum):
    """Options of the link control protocol."""

    MAXIMUM_RECEIVE_UNIT = 1
    ASYNC_CONTROL_CHARACTER_MAP = 2
    AUTHENTICATION_PROTOCOL = 3
    MAGIC_NUMBER = 5
    PROTOCOL_FIELD_COMPRESSION = 7
    ADDRESS_AND_CONTROL_FIELD_COMPRESSION = 8
    FCS_ALTERNATIVES = 9
    CALLBACK = 13


class LcpAuthentication(IntEnum):
    """Values of the authentication protocol option."""

    PAP = 0xC023
    CHAP = 0xC223
    EAP = 0xC227


class IpcpOptionType(IntEnum):
    """Options of the IP control protocol."""

    IP_COMPRESSION_PROTOCOL = 2
    PREFERRED_LOCAL_IP_ADDRESS = 3
    PREFERRED_PEER_IP_ADDRESS = 20
    GROUP_ASYNC_OPERATION = 21
    USER_SPECIFIC_IP_ADDRESS = 22


class IpCompression(IntEnum):
    """Values of the compression protocol option."""

    ROBUST_HEADER_COMPRESSION = 0x0003
    VAN_JACOBSON = 0x002D
    IP_HEADER_COMPRESSION = 0x0061


class PppAuthentication(IntEnum):
    """How a PPP peer proves who it is."""

    NONE = 0
    PAP = 1
    CHAP = 2


class LcpOption(NamedTuple):
    """One option of LCP; which type its data has follows from its own type."""

    option_type: int
    option_length: int
    option_data: Data


class IpcpOption(NamedTuple):
    """One option of IPCP, as `LcpOption`."""

    option_type: int
    option_length: int
    option_data: Data


_LCP_OPTION = structure(
    LcpOption, noted(UNSIGNED, LcpOptionType), UNSIGNED, noted(ANY, LcpAuthentication)
)
_IPCP_OPTION = structure(
    IpcpOption, noted(UNSIGNED, IpcpOptionType), UNSIGNED, noted(ANY, IpCompression)
)


class PppSetup(InterfaceClass, class_id=44, version=0):
    """A PPP link (4.9.5)."""

    phy_reference = Attribute(2, LOGICAL_NAME, access=_RW, unsure=_ONE)
    lcp_options = Attribute(3, array(_LCP_OPTION), access=_RW, unsure=_ONE)
    ipcp_options = Attribute(4, array(_IPCP_OPTION), access=_RW, unsure=_ONE)
    ppp_authentication = Attribute(5, noted(RAW, PppAuthentication), access=_RW)


class SmtpSetup(InterfaceClass, class_id=46, version=0):
    """A mail server (4.9.6)."""

    server_port = Attribute(2, RAW, access=_RW)
    user_name = Attribute(3, RAW, access=_RW)
    login_password = Attribute(4, RAW, access=_RW)
    server_address = Attribute(5, RAW, access=_RW)
    sender_address = Attribute(6, RAW, access=_RW)


class AddressConfigMode(IntEnum):
    """Where IPv6 addresses come from."""

    AUTO_CONFIGURATION = 0
    DHCPV6 = 1
    MANUAL = 2
    NEIGHBOUR_DISCOVERY = 3


class Ipv6AddressType(IntEnum):
    """Which list an address is added to or removed from."""

    UNICAST = 0
    MULTICAST = 1
    GATEWAY = 2


class NeighborDiscovery(NamedTuple):
    """Router solicitations: how many, how far apart, and how often a router advertises."""

    rs_max_retry: int
    rs_retry_wait_time: int
    ra_send_period: int


class Ipv6Setup(InterfaceClass, class_id=48, version=0):
    """The IPv6 addresses of an interface (4.9.3)."""

    dl_reference = Attribute(2, LOGICAL_NAME, access=_RW, unsure="type as in class 42")
    address_config_mode = Attribute(3, coded(AddressConfigMode), access=_RW)
    unicast_ipv6_addresses = Attribute(4, untyped(Array), access=_RW)
    multicast_ipv6_addresses = Attribute(5, RAW, access=_RW)
    gateway_ipv6_addresses = Attribute(6, RAW, access=_RW)
    primary_dns_address = Attribute(7, RAW, access=_RW)
    secondary_dns_address = Attribute(8, RAW, access=_RW)
    traffic_class = Attribute(9, UNSIGNED, access=_RW)
    neighbor_discovery_setup = Attribute(
        10,
        array(structure(NeighborDiscovery, UNSIGNED, LONG_UNSIGNED, DOUBLE_LONG_UNSIGNED)),
        access=_RW,
    )

    add_ipv6_address = Method(1, noted(RAW, Ipv6AddressType))
    remove_ipv6_address = Method(2, noted(RAW, Ipv6AddressType))


class NtpAuthentication(IntEnum):
    """How a time server proves who it is."""

    NONE = 0
    SHARED_SECRETS = 1
    AUTO_KEY_IFF = 2


class NtpKey(NamedTuple):
    """A shared key and its number."""

    key_id: int
    key: bytes


class NtpSetup(InterfaceClass, class_id=100, version=0):
    """A time server (4.9.7), e.g. 0.0.25.10.0.255."""

    activated = Attribute(2, BOOLEAN, access=_RW)
    server_address = Attribute(3, OCTETS, access=_RW)
    server_port = Attribute(4, LONG_UNSIGNED, access=_RW)
    authentication_method = Attribute(5, coded(NtpAuthentication), access=_RW)
    authentication_keys = Attribute(
        6, array(structure(NtpKey, DOUBLE_LONG_UNSIGNED, OCTETS)), access=_RW
    )
    client_key = Attribute(7, OCTETS, access=_RW)

    synchronize = Method(1)
    add_authentication_key = Method(2, RAW)
    delete_authentication_key = Method(3, RAW)


class CoapTransportMode(IntEnum):
    """Whether CoAP messages are confirmed."""

    RELIABLE = 1
    UNRELIABLE = 2
    RELIABLE_AND_UNRELIABLE = 3


class CoapSetup(InterfaceClass, class_id=152, version=0):
    """CoAP over one UDP port."""

    udp_reference = Attribute(2, LOGICAL_NAME, access=_RW)
    ack_timeout = Attribute(3, LONG_UNSIGNED, access=_RW)  # milliseconds
    ack_random_factor = Attribute(4, LONG_UNSIGNED, access=_RW)
    max_retransmit = Attribute(5, LONG_UNSIGNED, access=_RW)
    nstart = Attribute(6, LONG_UNSIGNED, access=_RW)
    delay_ack_timeout = Attribute(7, LONG_UNSIGNED, access=_RW)  # milliseconds
    exponential_back_off = Attribute(8, LONG_UNSIGNED, access=_RW)
    probing_rate = Attribute(9, LONG_UNSIGNED, access=_RW)
    coap_uri_path = Attribute(10, OCTETS, access=_RW)
    transport_mode = Attribute(11, coded(CoapTransportMode), access=_RW)
    wrapper_version = Attribute(12, ANY, access=_RW)
    token_length = Attribute(13, UNSIGNED, access=_RW)


class CoapMessages(NamedTuple):
    """How many messages of each kind."""

    tx: int
    rx: int
    tx_resend: int
    tx_reset: int
    rx_reset: int
    tx_ack: int
    rx_ack: int
    rx_drop: int
    tx_non_piggybacked: int
    max_rtx_exceeded: int


class CoapRequestsResponses(NamedTuple):
    """How many requests and responses of each kind."""

    rx_requests: int
    tx_requests: int
    rx_response: int
    tx_response: int
    tx_client_error: int
    rx_client_error: int
    tx_server_error: int
    rx_server_error: int


class CoapBlockTransfers(NamedTuple):
    """How many block-wise transfers."""

    block_wise_started: int
    block_wise_completed: int
    block_wise_timeout: int


class CounterCapture(NamedTuple):
    """Which attribute changed last, and when."""

    attribute_id: int
    timestamp: CosemDateTime


COUNTER_CAPTURE: Final = structure(CounterCapture, UNSIGNED, TAGGED_DATE_TIME)


class CoapDiagnostic(InterfaceClass, class_id=153, version=0):
    """What CoAP counted."""

    messages_counter = Attribute(
        2, structure(CoapMessages, *(DOUBLE_LONG_UNSIGNED,) * 10), dynamic=True
    )
    request_response_counter = Attribute(
        3, structure(CoapRequestsResponses, *(DOUBLE_LONG_UNSIGNED,) * 8), dynamic=True
    )
    bt_counter = Attribute(
        4, structure(CoapBlockTransfers, *(DOUBLE_LONG_UNSIGNED,) * 3), dynamic=True
    )
    capture_time = Attribute(5, COUNTER_CAPTURE, dynamic=True)

    reset = Method(1)
