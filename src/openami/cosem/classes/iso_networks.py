# SPDX-License-Identifier: Apache-2.0
"""Interface classes of ISO/IEC 14908 and ISO/IEC 12139-1 power-line networks, and attestation.

They came in editions of the Blue Book after 12 and rest on a single source.
"""

from typing import Final

from openami.cosem.choices import RAW
from openami.cosem.kinds import (
    BOOLEAN,
    DOUBLE_LONG_UNSIGNED,
    ENUM,
    LONG64_UNSIGNED,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method

_RW: Final = Access.READ_WRITE
_SINGLE: Final = "single source"
_NAMED: Final = "named only: its attributes are not known"


class Iso14908Identification(InterfaceClass, class_id=130, version=0, unsure=_SINGLE):
    """The addresses of a station (ISO/IEC 14908)."""

    node_id = Attribute(2, UNSIGNED, access=_RW)
    subnet_id = Attribute(3, UNSIGNED, access=_RW)
    domain_id = Attribute(4, OCTETS, access=_RW)
    program_id = Attribute(5, OCTETS)
    unique_node_id = Attribute(6, OCTETS)


class Iso14908ProtocolSetup(InterfaceClass, class_id=131, version=0, unsure=_SINGLE):
    """What the protocol is set to (ISO/IEC 14908)."""

    inactivity_timeout = Attribute(2, LONG_UNSIGNED, access=_RW)  # minutes


class Iso14908ProtocolStatus(InterfaceClass, class_id=132, version=0, unsure=_SINGLE):
    """What the protocol counted (ISO/IEC 14908)."""

    transmission_errors = Attribute(2, LONG_UNSIGNED, dynamic=True)
    transmit_tx_failure = Attribute(3, LONG_UNSIGNED, dynamic=True)
    transmit_tx_retries = Attribute(4, LONG_UNSIGNED, dynamic=True)
    receive_tx_full = Attribute(5, LONG_UNSIGNED, dynamic=True)
    lost_messages = Attribute(6, LONG_UNSIGNED, dynamic=True)
    missed_messages = Attribute(7, LONG_UNSIGNED, dynamic=True)
    layer2_received = Attribute(8, LONG_UNSIGNED, dynamic=True)
    layer3_received = Attribute(9, LONG_UNSIGNED, dynamic=True)
    messages_received = Attribute(10, DOUBLE_LONG_UNSIGNED, dynamic=True)
    messages_validated = Attribute(11, DOUBLE_LONG_UNSIGNED, dynamic=True)


class Iso14908ProtocolStatusV1(
    Iso14908ProtocolStatus, class_id=132, version=1, methods_at=0x70, unsure=_SINGLE
):
    """Version 1: the counters can be reset."""

    reset = Method(1)


class Iso14908Diagnostic(InterfaceClass, class_id=133, version=0, unsure=_SINGLE):
    """How the modem fares (ISO/IEC 14908)."""

    plc_signal_quality_status = Attribute(2, ENUM, dynamic=True)
    com_module_state = Attribute(3, ENUM, dynamic=True)
    received_message_status = Attribute(4, UNSIGNED, dynamic=True)
    no_receive_buffer = Attribute(5, LONG_UNSIGNED, dynamic=True)
    transmit_no_data = Attribute(6, LONG_UNSIGNED, dynamic=True)
    backlog_overflows = Attribute(7, LONG_UNSIGNED, dynamic=True)
    late_ack = Attribute(8, LONG_UNSIGNED, dynamic=True)
    frequency_invalid = Attribute(9, LONG_UNSIGNED, dynamic=True)


class Iso14908DiagnosticV1(
    Iso14908Diagnostic, class_id=133, version=1, methods_at=0x60, unsure=_SINGLE
):
    """Version 1: the counters can be reset."""

    reset = Method(1)


class HsPlcMacSetup(InterfaceClass, class_id=140, version=0, unsure=_SINGLE):
    """What the MAC layer is set to (ISO/IEC 12139-1), e.g. 0.0.33.0.0.255."""

    group_id = Attribute(2, RAW, access=_RW)
    secondary_group_id = Attribute(3, RAW, access=_RW)
    station_id = Attribute(4, RAW, access=_RW)
    parent_station_id = Attribute(5, RAW, access=_RW)
    repeater_status = Attribute(6, RAW, dynamic=True)
    encryption_mode = Attribute(7, RAW, access=_RW)
    initial_encryption_key = Attribute(8, OCTETS, access=Access.WRITE)
    rts_cts = Attribute(9, BOOLEAN, access=_RW)


class HsPlcCpasSetup(InterfaceClass, class_id=141, version=0, unsure=_NAMED):
    """The common part of adaptation (ISO/IEC 12139-1), e.g. 0.0.33.1.0.255."""


class HsPlcIpSsasSetup(InterfaceClass, class_id=142, version=0, unsure=_NAMED):
    """Adaptation for IP (ISO/IEC 12139-1), e.g. 0.0.33.2.0.255."""


class HsPlcHdlcSsasSetup(InterfaceClass, class_id=143, version=0, unsure=_SINGLE):
    """Adaptation for HDLC (ISO/IEC 12139-1), e.g. 0.0.33.3.0.255."""

    master_station_id = Attribute(2, LONG64_UNSIGNED, access=_RW)


class Attestation(InterfaceClass, class_id=170, version=0, unsure=_NAMED):
    """What a device proves about itself."""
