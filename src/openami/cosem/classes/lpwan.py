# SPDX-License-Identifier: Apache-2.0
"""Interface classes of SCHC over LPWAN and of LoRaWAN, in editions of the Blue Book after 12.

All of them rest on a single source.
"""

from typing import Final

from openami.cosem.choices import RAW, untyped
from openami.cosem.kinds import BOOLEAN, DOUBLE_LONG_UNSIGNED, ENUM, INTEGER, OCTETS
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import Array, Structure

_RW: Final = Access.READ_WRITE
_SINGLE: Final = "single source"


class SchcLpwanSetup(InterfaceClass, class_id=126, version=0, unsure=_SINGLE):
    """Static context header compression (RFC 8724)."""

    lpwan_reference = Attribute(2, OCTETS, access=_RW)
    schc_cd_rules = Attribute(3, untyped(Array), access=_RW)
    schc_fr_param = Attribute(4, untyped(Structure), access=_RW)


class SchcLpwanDiagnostic(InterfaceClass, class_id=127, version=0, methods_at=0x40, unsure=_SINGLE):
    """What the compression layer counted."""

    packets_tx = Attribute(2, DOUBLE_LONG_UNSIGNED, dynamic=True)
    packets_rx = Attribute(3, DOUBLE_LONG_UNSIGNED, dynamic=True)
    fragments_tx = Attribute(4, DOUBLE_LONG_UNSIGNED, dynamic=True)
    fragments_rx = Attribute(5, DOUBLE_LONG_UNSIGNED, dynamic=True)
    ack_tx = Attribute(6, DOUBLE_LONG_UNSIGNED, dynamic=True)
    ack_rx = Attribute(7, DOUBLE_LONG_UNSIGNED, dynamic=True)

    reset = Method(1)


class LoRaWanSetup(InterfaceClass, class_id=128, version=0, methods_at=0x60, unsure=_SINGLE):
    """What a LoRaWAN modem is set to."""

    device_class = Attribute(2, ENUM, access=_RW)
    state = Attribute(3, ENUM, dynamic=True)
    max_transmit_eirp_setting = Attribute(4, INTEGER, access=_RW)
    adr_mode = Attribute(5, BOOLEAN, access=_RW)
    regional_parameters = Attribute(6, ENUM, access=_RW)
    device_operation = Attribute(7, untyped(Structure), access=_RW)
    modem_versions = Attribute(8, untyped(Structure))
    dev_addr = Attribute(9, DOUBLE_LONG_UNSIGNED, dynamic=True)
    join_strategy = Attribute(10, ENUM, access=_RW)
    multicasts_parameters = Attribute(11, untyped(Array), access=_RW)

    disconnect_from_network = Method(1, RAW)
    change_class = Method(2, RAW)
    change_region = Method(3, RAW)


class LoRaWanDiagnostic(InterfaceClass, class_id=129, version=0, methods_at=0x70, unsure=_SINGLE):
    """What a LoRaWAN modem counted, and how it hears."""

    internal_error_code = Attribute(2, ENUM, dynamic=True)
    out_frames_u_counter = Attribute(3, DOUBLE_LONG_UNSIGNED, dynamic=True)
    out_frames_c_counter = Attribute(4, DOUBLE_LONG_UNSIGNED, dynamic=True)
    in_frames_u_counter = Attribute(5, DOUBLE_LONG_UNSIGNED, dynamic=True)
    in_frames_c_counter = Attribute(6, DOUBLE_LONG_UNSIGNED, dynamic=True)
    in_mac_command_counter = Attribute(7, DOUBLE_LONG_UNSIGNED, dynamic=True)
    in_mac_ans_error_counter = Attribute(8, DOUBLE_LONG_UNSIGNED, dynamic=True)
    in_mac_ignored_counter = Attribute(9, DOUBLE_LONG_UNSIGNED, dynamic=True)
    in_per = Attribute(10, INTEGER, dynamic=True)
    in_mean_rssi_rx1 = Attribute(11, INTEGER, dynamic=True)
    in_mean_snr_rx1 = Attribute(12, INTEGER, dynamic=True)
    in_mean_rssi_rx2 = Attribute(13, INTEGER, dynamic=True)
    in_mean_snr_rx2 = Attribute(14, INTEGER, dynamic=True)

    reset = Method(1)
