# SPDX-License-Identifier: Apache-2.0
"""Interface classes of cellular modems (DLMS UA 1000-1 Ed. 12, 4.7): set-up and diagnosis."""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import RAW, coded
from openami.cosem.kinds import (
    DOUBLE_LONG_UNSIGNED,
    INTEGER,
    LONG_UNSIGNED,
    OCTETS,
    TAGGED_DATE_TIME,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass

_RW: Final = Access.READ_WRITE


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
    """Access point and PIN of a cellular modem."""

    apn = Attribute(2, OCTETS, access=_RW)
    pin_code = Attribute(3, LONG_UNSIGNED, access=_RW)
    quality_of_service = Attribute(4, structure(QualityOfServices, _QOS, _QOS), access=_RW)


class RegistrationStatus(IntEnum):
    """How a modem is registered with the network."""

    NOT_REGISTERED = 0
    HOME_NETWORK = 1
    SEARCHING = 2
    DENIED = 3
    UNKNOWN = 4
    ROAMING = 5


class CircuitSwitchedStatus(IntEnum):
    """Whether a call is on."""

    INACTIVE = 0
    INCOMING_CALL = 1
    ACTIVE = 2


class PacketSwitchedStatus(IntEnum):
    """Which bearer carries packets; 7 to 9 came with version 2."""

    INACTIVE = 0
    GPRS = 1
    EDGE = 2
    UMTS = 3
    HSDPA = 4
    LTE = 5
    CDMA = 6
    LTE_CAT_M1 = 7
    LTE_CAT_NB1 = 8
    LTE_CAT_NB2 = 9


class CellInfo(NamedTuple):
    """The cell that serves the modem."""

    cell_id: int
    location_id: int
    signal_quality: int
    ber: int


class CellInfoV1(NamedTuple):
    """The cell that serves the modem, with country, network and channel."""

    cell_id: int
    location_id: int
    signal_quality: int
    ber: int
    mcc: int
    mnc: int
    channel_number: int


class AdjacentCell(NamedTuple):
    """A cell that the modem also hears."""

    cell_id: int
    signal_quality: int


_ADJACENT = array(structure(AdjacentCell, DOUBLE_LONG_UNSIGNED, UNSIGNED))


class GsmDiagnostic(InterfaceClass, class_id=47, version=0):
    """What a cellular modem says of its network."""

    operator = Attribute(2, RAW, dynamic=True)
    status = Attribute(3, coded(RegistrationStatus), dynamic=True)
    circuit_switched_status = Attribute(4, coded(CircuitSwitchedStatus), dynamic=True)
    packet_switched_status = Attribute(5, coded(PacketSwitchedStatus), dynamic=True)
    cell_info = Attribute(
        6, structure(CellInfo, LONG_UNSIGNED, LONG_UNSIGNED, UNSIGNED, UNSIGNED), dynamic=True
    )
    adjacent_cells = Attribute(
        7, _ADJACENT, dynamic=True, unsure="width of cell_id in version 0; any width is read"
    )
    capture_time = Attribute(8, TAGGED_DATE_TIME, dynamic=True)


class GsmDiagnosticV1(InterfaceClass, class_id=47, version=1):
    """Version 1: more about the cell."""

    operator = Attribute(2, RAW, dynamic=True)
    status = Attribute(3, coded(RegistrationStatus), dynamic=True)
    circuit_switched_status = Attribute(4, coded(CircuitSwitchedStatus), dynamic=True)
    packet_switched_status = Attribute(5, coded(PacketSwitchedStatus), dynamic=True)
    cell_info = Attribute(
        6,
        structure(
            CellInfoV1,
            DOUBLE_LONG_UNSIGNED,
            LONG_UNSIGNED,
            UNSIGNED,
            UNSIGNED,
            LONG_UNSIGNED,
            LONG_UNSIGNED,
            DOUBLE_LONG_UNSIGNED,
        ),
        dynamic=True,
    )
    adjacent_cells = Attribute(7, _ADJACENT, dynamic=True)
    capture_time = Attribute(8, TAGGED_DATE_TIME, dynamic=True)


class GsmDiagnosticV2(GsmDiagnosticV1, class_id=47, version=2):
    """Version 2: more packet bearers."""


class LteNetworkParameters(NamedTuple):
    """Timers and limits that the network gives, version 0."""

    t3402: int
    t3412: int
    rsrq: int
    rsrp: int
    q_rx_lev_min: int


class LteNetworkParametersV1(NamedTuple):
    """Timers and limits that the network gives."""

    t3402: int
    t3412: int
    t3412_ext2: int
    t3324: int
    te_drx: int
    tptw: int
    q_rx_lev_min: int
    q_rx_lev_min_ce: int
    q_rx_lev_min_ce1: int


class CoverageEnhancement(IntEnum):
    """Level of coverage enhancement."""

    LEVEL_0 = 0
    LEVEL_1 = 1
    LEVEL_2 = 2


class LteQualityOfService(NamedTuple):
    """How well the modem hears."""

    rsrq: int
    rsrp: int
    snr: int
    coverage_enhancement: int


class LteMonitoring(InterfaceClass, class_id=151, version=0):
    """What an LTE modem says of its network, e.g. 0.0.25.11.0.255."""

    lte_network_parameters = Attribute(
        2,
        structure(LteNetworkParameters, LONG_UNSIGNED, LONG_UNSIGNED, UNSIGNED, UNSIGNED, INTEGER),
        dynamic=True,
    )


class LteMonitoringV1(InterfaceClass, class_id=151, version=1):
    """Version 1: quality of service apart, power saving timers."""

    lte_network_parameters = Attribute(
        2,
        structure(
            LteNetworkParametersV1,
            LONG_UNSIGNED,
            LONG_UNSIGNED,
            DOUBLE_LONG_UNSIGNED,
            LONG_UNSIGNED,
            DOUBLE_LONG_UNSIGNED,
            LONG_UNSIGNED,
            INTEGER,
            INTEGER,
            INTEGER,
        ),
        dynamic=True,
    )
    lte_quality_of_service = Attribute(
        3,
        structure(LteQualityOfService, INTEGER, INTEGER, INTEGER, coded(CoverageEnhancement)),
        dynamic=True,
    )
