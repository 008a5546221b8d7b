# SPDX-License-Identifier: Apache-2.0
"""Interface classes of G3-PLC: MAC layer (DLMS UA 1000-1 Ed. 12, 4.13).

`g3_adaptation` has the 6LoWPAN layer, `g3_hybrid` what came with radio beside power line.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import RAW, coded
from openami.cosem.kinds import (
    BITS,
    BOOLEAN,
    DOUBLE_LONG_UNSIGNED,
    INTEGER,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import BitString

_RW: Final = Access.READ_WRITE
_NEWEST: Final = "attributes of version 4: single source"


class G3MacCounters(InterfaceClass, class_id=90, version=0):
    """What the MAC layer counted, e.g. 0.0.29.0.0.255."""

    mac_tx_data_packet_count = Attribute(2, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_rx_data_packet_count = Attribute(3, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_tx_cmd_packet_count = Attribute(4, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_rx_cmd_packet_count = Attribute(5, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_csma_fail_count = Attribute(6, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_csma_no_ack_count = Attribute(7, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_bad_crc_count = Attribute(8, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_tx_data_broadcast_count = Attribute(9, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_rx_data_broadcast_count = Attribute(10, DOUBLE_LONG_UNSIGNED, dynamic=True)

    reset = Method(1)


class G3MacCountersV1(G3MacCounters, class_id=90, version=1):
    """Version 1: the same rows."""


class KeyTableEntry(NamedTuple):
    """A key of the MAC layer."""

    key_id: int
    key: bytes


class G3Modulation(IntEnum):
    """How a neighbour is spoken to."""

    ROBUST = 0
    DBPSK = 1
    DQPSK = 2
    D8PSK = 3
    QAM_16 = 4


class TxResolution(IntEnum):
    """Step of a gain."""

    STEP_6_DB = 0
    STEP_3_DB = 1


class G3Neighbour(NamedTuple):
    """A station that is heard, and how it is spoken to."""

    short_address: int
    payload_modulation_scheme: bool
    tone_map: BitString
    modulation: int
    tx_gain: int
    tx_res: int
    tx_coeff: BitString
    lqi: int
    phase_differential: int
    tmr_valid_time: int
    neighbour_valid_time: int


class PosTableEntry(NamedTuple):
    """A station in the personal operating space."""

    short_address: int
    lqi: int
    valid_time: int


_NEIGHBOURS = array(
    structure(
        G3Neighbour,
        LONG_UNSIGNED,
        BOOLEAN,
        BITS,
        coded(G3Modulation),
        INTEGER,
        coded(TxResolution),
        BITS,
        UNSIGNED,
        INTEGER,
        UNSIGNED,
        UNSIGNED,
    )
)


class G3MacSetup(InterfaceClass, class_id=91, version=0):
    """What the MAC layer is set to, e.g. 0.0.29.1.0.255."""

    mac_short_address = Attribute(2, LONG_UNSIGNED, dynamic=True)
    mac_rc_coord = Attribute(3, LONG_UNSIGNED, dynamic=True)
    mac_pan_id = Attribute(4, LONG_UNSIGNED, access=_RW)
    mac_key_table = Attribute(
        5, array(structure(KeyTableEntry, UNSIGNED, OCTETS)), access=Access.WRITE
    )
    mac_frame_counter = Attribute(6, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_tone_mask = Attribute(7, BITS, access=_RW)
    mac_tmr_ttl = Attribute(8, UNSIGNED, access=_RW)
    mac_max_frame_retries = Attribute(9, UNSIGNED, access=_RW)
    mac_neighbour_table_entry_ttl = Attribute(10, UNSIGNED, access=_RW)
    mac_neighbour_table = Attribute(11, _NEIGHBOURS, dynamic=True)
    mac_high_priority_window_size = Attribute(12, UNSIGNED, access=_RW)
    mac_csma_fairness_limit = Attribute(13, UNSIGNED, access=_RW)
    mac_beacon_randomization_window_length = Attribute(14, UNSIGNED, access=_RW)
    mac_a = Attribute(15, UNSIGNED, access=_RW)
    mac_k = Attribute(16, UNSIGNED, access=_RW)
    mac_min_cw_attempts = Attribute(17, UNSIGNED, access=_RW)
    mac_cenelec_legacy_mode = Attribute(18, UNSIGNED, access=_RW)
    mac_fcc_legacy_mode = Attribute(19, UNSIGNED, access=_RW)
    mac_max_be = Attribute(20, UNSIGNED, access=_RW)
    mac_max_csma_backoffs = Attribute(21, UNSIGNED, access=_RW)
    mac_min_be = Attribute(22, UNSIGNED, access=_RW)

    mac_get_neighbour_table_entry = Method(1, LONG_UNSIGNED, RAW)


class G3MacSetupV1(G3MacSetup, class_id=91, version=1):
    """Version 1: the same rows."""


class G3MacSetupV2(G3MacSetup, class_id=91, version=2):
    """Version 2: attenuation, and the stations around."""

    mac_broadcast_max_cw_enabled = Attribute(23, BOOLEAN, access=_RW)
    mac_transmit_atten = Attribute(24, UNSIGNED, access=_RW)
    mac_pos_table = Attribute(
        25, array(structure(PosTableEntry, LONG_UNSIGNED, UNSIGNED, UNSIGNED)), dynamic=True
    )


class G3MacSetupV3(G3MacSetupV2, class_id=91, version=3):
    """Version 3: frames that come twice."""

    mac_duplicate_detection_ttl = Attribute(26, UNSIGNED, access=_RW)

    mac_get_pos_table_entry = Method(2, LONG_UNSIGNED, RAW)


class G3MacSetupV4(G3MacSetupV3, class_id=91, version=4, methods_at=0xE8):
    """Version 4: recent stations; attribute 10 is named mac_POS_table_entry_TTL there."""

    mac_pos_recent_entry_threshold = Attribute(27, UNSIGNED, access=_RW, unsure=_NEWEST)
    mac_pos_recent_entries = Attribute(28, LONG_UNSIGNED, dynamic=True, unsure=_NEWEST)
    mac_preamble_length = Attribute(29, UNSIGNED, access=_RW, unsure=_NEWEST)
