# SPDX-License-Identifier: Apache-2.0
"""Interface classes of hybrid G3: radio beside power line, in editions after 12.

They mirror the classes of the power-line side.  All of them rest on a single source.
"""

from typing import Final

from openami.cosem.choices import RAW, untyped
from openami.cosem.kinds import BITS, BOOLEAN, DOUBLE_LONG_UNSIGNED, ENUM, LONG_UNSIGNED, UNSIGNED
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import Array

_RW: Final = Access.READ_WRITE
_SINGLE: Final = "single source"


class HybridRfMacCounters(
    InterfaceClass, class_id=160, version=0, unsure="named only: its attributes are not known"
):
    """What the MAC layer of the radio side counted."""


class HybridRfMacSetup(InterfaceClass, class_id=161, version=0, methods_at=0x130, unsure=_SINGLE):
    """What the MAC layer of the radio side is set to."""

    mac_max_be_rf = Attribute(2, UNSIGNED, access=_RW)
    mac_max_csma_backoffs_rf = Attribute(3, UNSIGNED, access=_RW)
    mac_max_frame_retries_rf = Attribute(4, UNSIGNED, access=_RW)
    mac_min_be_rf = Attribute(5, UNSIGNED, access=_RW)
    mac_frame_counter_rf = Attribute(6, DOUBLE_LONG_UNSIGNED, dynamic=True)
    mac_duplicate_detection_ttl_rf = Attribute(7, UNSIGNED, access=_RW)
    mac_pos_table_rf = Attribute(8, untyped(Array), dynamic=True)
    mac_operating_mode_rf = Attribute(9, UNSIGNED, access=_RW)
    mac_channel_number_rf = Attribute(10, LONG_UNSIGNED, access=_RW)
    mac_duty_cycle_usage_rf = Attribute(11, UNSIGNED, dynamic=True)
    mac_duty_cycle_period_rf = Attribute(12, LONG_UNSIGNED, access=_RW)
    mac_duty_cycle_limit_rf = Attribute(13, LONG_UNSIGNED, access=_RW)
    mac_duty_cycle_threshold_rf = Attribute(14, UNSIGNED, access=_RW)
    mac_disable_phy_rf = Attribute(15, BOOLEAN, access=_RW)
    mac_frequency_band_rf = Attribute(16, ENUM, access=_RW)
    mac_transmit_atten_rf = Attribute(17, UNSIGNED, access=_RW)
    mac_adaptive_power_step_rf = Attribute(18, UNSIGNED, access=_RW)
    mac_adaptive_power_high_bound_rf = Attribute(19, UNSIGNED, access=_RW)
    mac_adaptive_power_low_bound_rf = Attribute(20, UNSIGNED, access=_RW)
    mac_pos_recent_entries_rf = Attribute(21, LONG_UNSIGNED, dynamic=True)
    mac_hopping_enabled_rf = Attribute(22, BOOLEAN, access=_RW)
    mac_broadcast_interval_duration_rf = Attribute(23, LONG_UNSIGNED, access=_RW)
    mac_broadcast_slot_duration_rf = Attribute(24, UNSIGNED, access=_RW)
    mac_unicast_slot_duration_rf = Attribute(25, UNSIGNED, access=_RW)
    mac_extended_bitmap_rf = Attribute(26, BITS, access=_RW)
    mac_beacon_randomization_window_length_rf = Attribute(27, LONG_UNSIGNED, access=_RW)
    mac_additional_channel_scan_time_rf = Attribute(28, UNSIGNED, access=_RW)
    mac_max_cca_attempts_retries_rf = Attribute(29, UNSIGNED, access=_RW)
    mac_min_inter_tx_interval_rf = Attribute(30, LONG_UNSIGNED, access=_RW)
    mac_initial_retry_time_rf = Attribute(31, LONG_UNSIGNED, access=_RW)
    mac_maximum_retry_time_rf = Attribute(32, LONG_UNSIGNED, access=_RW)
    mac_max_clock_drift_rf = Attribute(33, UNSIGNED, access=_RW)
    mac_fh_unicast_schedule_address_rf = Attribute(34, LONG_UNSIGNED, access=_RW)
    mac_fh_unicast_slot_number_rf = Attribute(35, LONG_UNSIGNED, access=_RW)
    mac_fh_unicast_offset_rf = Attribute(36, UNSIGNED, access=_RW)
    mac_min_guard_time_rf = Attribute(37, UNSIGNED, access=_RW)
    mac_max_bcast_resync_wait_unit_rf = Attribute(38, UNSIGNED, access=_RW)

    mac_get_pos_table_entry_rf = Method(1, RAW, RAW)


class HybridRfMacSetupV1(
    HybridRfMacSetup, class_id=161, version=1, methods_at=0x130, unsure=_SINGLE
):
    """Version 1: the same rows."""


class Hybrid6LowpanSetup(InterfaceClass, class_id=162, version=0, unsure=_SINGLE):
    """What the adaptation layer is set to for the radio side."""

    adp_routing_table = Attribute(2, untyped(Array), dynamic=True)
    adp_blacklist_table = Attribute(3, untyped(Array), dynamic=True)
    adp_low_lqi_value_rf = Attribute(4, UNSIGNED, access=_RW)
    adp_high_lqi_value_rf = Attribute(5, UNSIGNED, access=_RW)
    adp_routing_configuration_rf = Attribute(6, untyped(Array), access=_RW)
    adp_use_backup_media = Attribute(7, BOOLEAN, access=_RW)
    adp_weak_lqi_value_rf = Attribute(8, UNSIGNED, access=_RW)
    adp_trickle_lqi_threshold_low_rf = Attribute(9, UNSIGNED, access=_RW)
    adp_delay_low_lqi_rf = Attribute(10, LONG_UNSIGNED, access=_RW)
    adp_delay_high_lqi_rf = Attribute(11, LONG_UNSIGNED, access=_RW)
    adp_rreq_jitter_low_lqi_rf = Attribute(12, UNSIGNED, access=_RW)
    adp_rreq_jitter_high_lqi_rf = Attribute(13, UNSIGNED, access=_RW)
    adp_cluster_trickle_i_rf = Attribute(14, LONG_UNSIGNED, access=_RW)
    adp_cluster_trickle_k_rf = Attribute(15, UNSIGNED, access=_RW)
    adp_cluster_min_lqi_rf = Attribute(16, UNSIGNED, access=_RW)
    adp_last_gasp = Attribute(17, BOOLEAN, access=_RW)
    adp_probing_interval = Attribute(18, UNSIGNED, access=_RW)
    adp_trickle_lqi_threshold_high_rf = Attribute(19, UNSIGNED, access=_RW)


class Hybrid6LowpanSetupV1(Hybrid6LowpanSetup, class_id=162, version=1, unsure=_SINGLE):
    """Version 1: the same rows."""
