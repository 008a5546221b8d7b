# SPDX-License-Identifier: Apache-2.0
"""Interface class of G3-PLC: the 6LoWPAN adaptation layer (DLMS UA 1000-1 Ed. 12, 4.13)."""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import coded, untyped
from openami.cosem.kinds import (
    BITS,
    BOOLEAN,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass
from openami.dlms.data import Array, BitString

_RW: Final = Access.READ_WRITE
_NEWEST: Final = "attributes of version 4: single source"


class RoutingConfiguration(NamedTuple):
    """Parameters of the routing protocol LOADng."""

    net_traversal_time: int
    routing_table_entry_ttl: int
    kr: int
    km: int
    kc: int
    kq: int
    kh: int
    krt: int
    rreq_retries: int
    rreq_wait: int
    blacklist_table_entry_ttl: int
    unicast_rreq_gen_enable: bool
    rlc_enabled: bool
    add_rev_link_cost: int


class Route(NamedTuple):
    """The way to one station."""

    destination_address: int
    next_hop_address: int
    route_cost: int
    hop_count: int
    weak_link_count: int
    valid_time: int


class ContextInformation(NamedTuple):
    """A context of header compression."""

    cid: BitString
    context_length: int
    context: bytes
    c: bool
    valid_lifetime: int


class BlacklistedNeighbour(NamedTuple):
    """A neighbour that is not used for a while."""

    neighbour_address: int
    valid_time: int


class Broadcast(NamedTuple):
    """A broadcast that was heard."""

    source_address: int
    sequence_number: int
    valid_time: int


class G3DeviceType(IntEnum):
    """What a station is in its network."""

    PAN_DEVICE = 0
    PAN_COORDINATOR = 1
    NOT_DEFINED = 2


_ROUTING_CONFIGURATION = structure(
    RoutingConfiguration,
    UNSIGNED,
    LONG_UNSIGNED,
    *(UNSIGNED,) * 8,
    LONG_UNSIGNED,
    BOOLEAN,
    BOOLEAN,
    UNSIGNED,
)
_ROUTE = structure(
    Route, LONG_UNSIGNED, LONG_UNSIGNED, LONG_UNSIGNED, UNSIGNED, UNSIGNED, LONG_UNSIGNED
)
_CONTEXT = structure(ContextInformation, BITS, UNSIGNED, OCTETS, BOOLEAN, LONG_UNSIGNED)


class G36LowpanSetup(InterfaceClass, class_id=92, version=0):
    """What the adaptation layer is set to, e.g. 0.0.29.2.0.255."""

    adp_max_hops = Attribute(2, UNSIGNED, access=_RW)
    adp_weak_lqi_value = Attribute(3, UNSIGNED, access=_RW)
    adp_security_level = Attribute(4, UNSIGNED, access=_RW)
    adp_prefix_table = Attribute(5, untyped(Array), access=_RW)
    adp_routing_configuration = Attribute(6, array(_ROUTING_CONFIGURATION), access=_RW)
    adp_broadcast_log_table_entry_ttl = Attribute(7, LONG_UNSIGNED, access=_RW)
    adp_routing_table = Attribute(8, array(_ROUTE), dynamic=True)
    adp_context_information_table = Attribute(9, array(_CONTEXT), access=_RW)
    adp_blacklist_table = Attribute(
        10, array(structure(BlacklistedNeighbour, LONG_UNSIGNED, LONG_UNSIGNED)), dynamic=True
    )
    adp_broadcast_log_table = Attribute(
        11, array(structure(Broadcast, LONG_UNSIGNED, UNSIGNED, LONG_UNSIGNED)), dynamic=True
    )
    adp_group_table = Attribute(12, array(LONG_UNSIGNED), access=_RW)
    adp_max_join_wait_time = Attribute(13, LONG_UNSIGNED, access=_RW)
    adp_path_discovery_time = Attribute(14, UNSIGNED, access=_RW)
    adp_active_key_index = Attribute(15, UNSIGNED, access=_RW)
    adp_metric_type = Attribute(16, UNSIGNED, access=_RW)


class G36LowpanSetupV1(G36LowpanSetup, class_id=92, version=1):
    """Version 1: coordinator, default routing, type of device."""

    adp_coord_short_address = Attribute(17, LONG_UNSIGNED, access=_RW)
    adp_disable_default_routing = Attribute(18, BOOLEAN, access=_RW)
    adp_device_type = Attribute(19, coded(G3DeviceType), access=_RW)


class G36LowpanSetupV2(G36LowpanSetupV1, class_id=92, version=2):
    """Version 2: default route, set of destinations."""

    adp_default_coord_route_enabled = Attribute(20, BOOLEAN, access=_RW)
    adp_destination_address_set = Attribute(21, array(LONG_UNSIGNED), access=_RW)


class G36LowpanSetupV3(G36LowpanSetupV2, class_id=92, version=3):
    """Version 3: limits of link quality."""

    adp_low_lqi_value = Attribute(22, UNSIGNED, access=_RW)
    adp_high_lqi_value = Attribute(23, UNSIGNED, access=_RW)


class G36LowpanSetupV4(G36LowpanSetupV3, class_id=92, version=4):
    """Version 4: delays and trickle broadcast."""

    adp_delay_low_lqi = Attribute(24, LONG_UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_delay_high_lqi = Attribute(25, LONG_UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_rreq_jitter_low_lqi = Attribute(26, UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_rreq_jitter_high_lqi = Attribute(27, UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_trickle_data_enabled = Attribute(28, BOOLEAN, access=_RW, unsure=_NEWEST)
    adp_trickle_lqi_threshold_low = Attribute(29, UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_trickle_step = Attribute(30, UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_trickle_imin = Attribute(31, LONG_UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_trickle_max_ki = Attribute(32, UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_trickle_adaptive_imin = Attribute(33, BOOLEAN, access=_RW, unsure=_NEWEST)
    adp_trickle_adaptive_ki = Attribute(34, BOOLEAN, access=_RW, unsure=_NEWEST)
    adp_cluster_trickle_enabled = Attribute(35, BOOLEAN, access=_RW, unsure=_NEWEST)
    adp_cluster_min_lqi = Attribute(36, UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_cluster_trickle_k = Attribute(37, UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_cluster_rreq_route_cost_deviation = Attribute(38, UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_cluster_trickle_i = Attribute(39, LONG_UNSIGNED, access=_RW, unsure=_NEWEST)
    adp_trickle_lqi_threshold_high = Attribute(40, UNSIGNED, access=_RW, unsure=_NEWEST)
