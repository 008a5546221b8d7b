# SPDX-License-Identifier: Apache-2.0
"""Interface classes of Wi-SUN, RPL and MPL, in editions of the Blue Book after 12.

All of them rest on a single source; 97 and 98 agree with RFC 6550 and RFC 7774.
"""

from typing import Final

from openami.cosem.choices import RAW, untyped
from openami.cosem.kinds import BOOLEAN, ENUM, LONG, LONG_UNSIGNED, OCTETS, UNSIGNED
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import Structure

_RW: Final = Access.READ_WRITE
_SINGLE: Final = "single source"


class WiSunSetup(InterfaceClass, class_id=95, version=0, methods_at=0x78, unsure=_SINGLE):
    """What a Wi-SUN station is set to."""

    network_name = Attribute(2, OCTETS, access=_RW)
    routing_method = Attribute(3, ENUM, access=_RW)
    pan_id = Attribute(4, LONG_UNSIGNED, access=_RW)
    disc_imin = Attribute(5, UNSIGNED, access=_RW)
    disc_imax = Attribute(6, UNSIGNED, access=_RW)
    data_message_imin = Attribute(7, UNSIGNED, access=_RW)
    data_message_imax = Attribute(8, UNSIGNED, access=_RW)
    default_dio_interval_min = Attribute(9, UNSIGNED, access=_RW)
    default_dio_interval_doublings = Attribute(10, UNSIGNED, access=_RW)
    channel_plan = Attribute(11, untyped(Structure), access=_RW)
    channel_function = Attribute(12, ENUM, access=_RW)
    excluded_channels = Attribute(13, RAW, access=_RW)
    join_state = Attribute(14, ENUM, dynamic=True)
    reg_channel_exclusions = Attribute(15, untyped(Structure), access=_RW)

    reset_join_state = Method(1)


class WiSunDiagnostic(
    InterfaceClass, class_id=96, version=0, unsure="named only: its attributes are not known"
):
    """What a Wi-SUN station counted."""


class RplDiagnostic(InterfaceClass, class_id=97, version=0, methods_at=0x48, unsure=_SINGLE):
    """Where a station stands in the routing graph (RFC 6550)."""

    rpl_instance_id = Attribute(2, UNSIGNED, dynamic=True)
    dodag_version_number = Attribute(3, UNSIGNED, dynamic=True)
    dodag_rank = Attribute(4, LONG, dynamic=True)
    grounded = Attribute(5, BOOLEAN, dynamic=True)
    mode_of_operation = Attribute(6, ENUM, dynamic=True)
    dodag_prf = Attribute(7, UNSIGNED, dynamic=True)
    dodag_dtsn = Attribute(8, UNSIGNED, dynamic=True)
    dodag_id = Attribute(9, OCTETS, dynamic=True)

    reset = Method(1)


class MplDiagnostic(InterfaceClass, class_id=98, version=0, methods_at=0x70, unsure=_SINGLE):
    """Parameters of multicast forwarding (RFC 7774)."""

    proactive_forwarding = Attribute(2, BOOLEAN, dynamic=True)
    z = Attribute(3, UNSIGNED, dynamic=True)
    tunit = Attribute(4, UNSIGNED, dynamic=True)
    se_lifetime = Attribute(5, LONG_UNSIGNED, dynamic=True)
    dm_k = Attribute(6, UNSIGNED, dynamic=True)
    dm_imin = Attribute(7, LONG_UNSIGNED, dynamic=True)
    dm_imax = Attribute(8, UNSIGNED, dynamic=True)
    dm_t_exp = Attribute(9, LONG_UNSIGNED, dynamic=True)
    c_k = Attribute(10, UNSIGNED, dynamic=True)
    c_imin = Attribute(11, LONG_UNSIGNED, dynamic=True)
    c_imax = Attribute(12, UNSIGNED, dynamic=True)
    c_t_exp = Attribute(13, LONG_UNSIGNED, dynamic=True)

    reset = Method(1)
