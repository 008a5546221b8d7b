# SPDX-License-Identifier: Apache-2.0
"""Interface classes of S-FSK power line and of LLC layers (DLMS UA 1000-1 Ed. 12, 4.10, 4.11)."""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import RAW, coded
from openami.cosem.kinds import (
    BOOLEAN,
    DOUBLE_LONG_UNSIGNED,
    ENUM,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method

_RW: Final = Access.READ_WRITE


class InitiatorPhase(IntEnum):
    """The phase on which the initiator is."""

    NOT_DEFINED = 0
    PHASE_1 = 1
    PHASE_2 = 2
    PHASE_3 = 3


class DeltaPhase(IntEnum):
    """The angle between our phase and the initiator's, in degrees."""

    NOT_DEFINED = 0
    SAME_PHASE = 1
    PLUS_60 = 2
    PLUS_120 = 3
    PLUS_180 = 4
    MINUS_120 = 5
    MINUS_60 = 6


class Repeater(IntEnum):
    """Whether a station repeats frames."""

    NEVER = 0
    ALWAYS = 1
    DYNAMIC = 2


class Frequencies(NamedTuple):
    """The two tones, in hertz."""

    mark_frequency: int
    space_frequency: int


class SFskPhyMacSetup(InterfaceClass, class_id=50, version=0):
    """Physical and MAC layer of S-FSK, e.g. 0.0.26.0.0.255 (4.10); version 0 is deprecated."""

    initiator_electrical_phase = Attribute(2, coded(InitiatorPhase), access=_RW)
    delta_electrical_phase = Attribute(3, coded(DeltaPhase), dynamic=True)
    max_receiving_gain = Attribute(4, UNSIGNED, access=_RW)
    max_transmitting_gain = Attribute(5, UNSIGNED, access=_RW)
    search_initiator_threshold = Attribute(6, UNSIGNED, access=_RW)
    frequencies = Attribute(
        7, structure(Frequencies, DOUBLE_LONG_UNSIGNED, DOUBLE_LONG_UNSIGNED), access=_RW
    )
    mac_address = Attribute(8, LONG_UNSIGNED, dynamic=True)
    mac_group_addresses = Attribute(9, array(LONG_UNSIGNED), access=_RW)
    repeater = Attribute(10, coded(Repeater), access=_RW)
    repeater_status = Attribute(11, BOOLEAN, dynamic=True)
    min_delta_credit = Attribute(12, UNSIGNED, dynamic=True)
    initiator_mac_address = Attribute(13, LONG_UNSIGNED, dynamic=True)
    synchronization_locked = Attribute(14, BOOLEAN, dynamic=True)
    transmission_speed = Attribute(15, ENUM, access=_RW)


class SFskPhyMacSetupV1(SFskPhyMacSetup, class_id=50, version=1):
    """Version 1: the same rows (4.10)."""


class ActiveInitiator(NamedTuple):
    """The initiator that this station is registered with."""

    system_title: bytes
    mac_address: int
    l_sap_selector: int


class SFskActiveInitiator(InterfaceClass, class_id=51, version=0):
    """The active initiator, e.g. 0.0.26.1.0.255 (4.10)."""

    active_initiator = Attribute(
        2, structure(ActiveInitiator, OCTETS, LONG_UNSIGNED, UNSIGNED), dynamic=True
    )

    reset_new_not_synchronized = Method(1, RAW, unsure="type of the argument")


class SFskMacSynchronizationTimeouts(InterfaceClass, class_id=52, version=0):
    """Time-outs of synchronisation, e.g. 0.0.26.2.0.255 (4.10); 0 switches a timer off."""

    search_initiator_timeout = Attribute(2, LONG_UNSIGNED, access=_RW, unsure="unit: seconds")
    synchronization_confirmation_timeout = Attribute(
        3, LONG_UNSIGNED, access=_RW, unsure="unit: seconds"
    )
    time_out_not_addressed = Attribute(4, LONG_UNSIGNED, access=_RW, unsure="unit: minutes")
    time_out_frame_not_ok = Attribute(5, LONG_UNSIGNED, access=_RW, unsure="unit: seconds")


class MacCounter(NamedTuple):
    """How often one MAC address was heard."""

    mac_address: int
    counter: int


class Desynchronizations(NamedTuple):
    """How often synchronisation was lost, by cause."""

    physical_layer: int
    not_addressed: int
    frame_not_ok: int
    write_request: int
    wrong_initiator: int


_COUNTERS = array(structure(MacCounter, LONG_UNSIGNED, DOUBLE_LONG_UNSIGNED))


class SFskMacCounters(InterfaceClass, class_id=53, version=0):
    """What the MAC layer counted, e.g. 0.0.26.3.0.255 (4.10)."""

    synchronization_register = Attribute(2, _COUNTERS, dynamic=True)
    desynchronization_listing = Attribute(
        3, structure(Desynchronizations, *(DOUBLE_LONG_UNSIGNED,) * 5), dynamic=True
    )
    broadcast_frames_counter = Attribute(4, _COUNTERS, dynamic=True)
    repetitions_counter = Attribute(5, DOUBLE_LONG_UNSIGNED, dynamic=True)
    transmissions_counter = Attribute(6, DOUBLE_LONG_UNSIGNED, dynamic=True)
    crc_ok_frames_counter = Attribute(7, DOUBLE_LONG_UNSIGNED, dynamic=True)
    crc_nok_frames_counter = Attribute(8, DOUBLE_LONG_UNSIGNED, dynamic=True)

    reset = Method(1)


class ReplyStatus(NamedTuple):
    """A service access point and how long the answer is that waits there."""

    l_sap_selector: int
    length_of_waiting_l_sdu: int


_REPLY_STATUS = array(structure(ReplyStatus, UNSIGNED, UNSIGNED))


class Iec61334LlcSetup(InterfaceClass, class_id=55, version=0, unsure="single source"):
    """LLC layer of S-FSK (IEC 61334-4-32), e.g. 0.0.26.5.0.255 (4.10)."""

    max_frame_length = Attribute(2, UNSIGNED, access=_RW)
    reply_status_list = Attribute(3, _REPLY_STATUS, dynamic=True, unsure="members")


class Iec61334LlcSetupV1(
    Iec61334LlcSetup, class_id=55, version=1, unsure="single source; rows as in version 0"
):
    """Version 1 (4.10)."""


class SFskReportingSystemList(InterfaceClass, class_id=56, version=0):
    """System titles of stations that reported, e.g. 0.0.26.6.0.255 (4.10)."""

    reporting_system_list = Attribute(2, array(OCTETS), dynamic=True)


class LlcType1Setup(InterfaceClass, class_id=57, version=0):
    """Connectionless LLC (ISO/IEC 8802-2), e.g. 0.0.27.0.0.255 (4.11)."""

    max_octets_ui_pdu = Attribute(2, LONG_UNSIGNED, access=_RW)  # 128 or more


class LlcType2Setup(InterfaceClass, class_id=58, version=0):
    """Connection-oriented LLC (ISO/IEC 8802-2), e.g. 0.0.27.1.0.255 (4.11)."""

    transmit_window_size_k = Attribute(2, UNSIGNED, access=_RW)
    transmit_window_size_rw = Attribute(3, UNSIGNED, access=_RW)
    max_octets_i_pdu_n1 = Attribute(4, LONG_UNSIGNED, access=_RW)
    max_number_transmissions_n2 = Attribute(5, UNSIGNED, access=_RW)
    acknowledgement_timer = Attribute(6, LONG_UNSIGNED, access=_RW)
    p_bit_timer = Attribute(7, LONG_UNSIGNED, access=_RW)
    reject_timer = Attribute(8, LONG_UNSIGNED, access=_RW)
    busy_state_timer = Attribute(9, LONG_UNSIGNED, access=_RW)


class LlcType3Setup(InterfaceClass, class_id=59, version=0):
    """Acknowledged connectionless LLC (ISO/IEC 8802-2), e.g. 0.0.27.2.0.255 (4.11)."""

    max_octets_acn_pdu_n3 = Attribute(2, LONG_UNSIGNED, access=_RW)
    max_number_transmissions_n4 = Attribute(3, UNSIGNED, access=_RW)
    acknowledgement_time_t1 = Attribute(4, LONG_UNSIGNED, access=_RW)
    receive_lifetime_t2 = Attribute(5, LONG_UNSIGNED, access=_RW)
    transmit_lifetime_t3 = Attribute(6, LONG_UNSIGNED, access=_RW)
