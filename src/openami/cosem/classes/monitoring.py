# SPDX-License-Identifier: Apache-2.0
"""Interface classes that watch parameters and sensors, and weigh requests for an action.

DLMS UA 1000-1 Ed. 12, 4.5.10 to 4.5.12.
"""

from typing import Final, NamedTuple

from openami.cosem.choices import RAW
from openami.cosem.classes.measurement import SCALER_UNIT
from openami.cosem.classes.references import ATTRIBUTE_REFERENCE
from openami.cosem.classes.time_event import SCHEDULED_SCRIPT
from openami.cosem.kinds import (
    ANY,
    BITS,
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
from openami.dlms.data import BitString, Data
from openami.dlms.obis import Obis

_RW: Final = Access.READ_WRITE


class ChangedParameter(NamedTuple):
    """The attribute that changed last, and its value now."""

    class_id: int
    logical_name: Obis
    attribute_index: int
    attribute_value: Data


class ParameterMonitor(InterfaceClass, class_id=65, version=0, methods_at=0x20):
    """Remembers which of a list of attributes changed last, and when (4.5.10)."""

    changed_parameter = Attribute(
        2, structure(ChangedParameter, LONG_UNSIGNED, LOGICAL_NAME, INTEGER, ANY), dynamic=True
    )
    capture_time = Attribute(3, RAW, dynamic=True)
    parameter_list = Attribute(
        4, array(ATTRIBUTE_REFERENCE), access=_RW, unsure="element as add_parameter takes it"
    )

    add_parameter = Method(1, ATTRIBUTE_REFERENCE)
    delete_parameter = Method(2, ATTRIBUTE_REFERENCE)


class ParameterMonitorV1(ParameterMonitor, class_id=65, version=1):
    """Version 1: with a digest over the values of the list (4.5.10)."""

    parameter_list_name = Attribute(5, RAW, access=_RW)
    hash_algorithm_id = Attribute(6, ENUM, access=_RW, unsure="which hash a number means")
    parameter_value_digest = Attribute(7, OCTETS, dynamic=True)
    parameter_values = Attribute(8, RAW, dynamic=True)


class SensorManager(InterfaceClass, class_id=67, version=0, methods_at=0x80):
    """A sensor: what it is, what it says, what follows from that (4.5.11)."""

    serial_number = Attribute(2, RAW)
    metrological_identification = Attribute(3, RAW)
    output_type = Attribute(4, RAW)
    adjustment_method = Attribute(5, RAW)
    sealing_method = Attribute(6, RAW)
    raw_value = Attribute(7, RAW, dynamic=True)
    scaler_unit = Attribute(8, SCALER_UNIT)
    status = Attribute(9, RAW, dynamic=True)
    capture_time = Attribute(10, RAW, dynamic=True)
    raw_value_thresholds = Attribute(11, RAW, access=_RW)
    raw_value_actions = Attribute(12, RAW, access=_RW)
    processed_value = Attribute(13, RAW)
    processed_value_thresholds = Attribute(14, RAW, access=_RW)
    processed_value_actions = Attribute(15, RAW, access=_RW)

    reset = Method(1, unsure="what it resets")


class ArbitratorRequest(NamedTuple):
    """Who asks, by its number, and for which of the actions."""

    request_actor: int
    request_action_list: BitString


class Arbitrator(InterfaceClass, class_id=68, version=0):
    """Decides between actors that ask for contrary actions (4.5.12)."""

    actions = Attribute(2, array(SCHEDULED_SCRIPT), access=_RW)
    permissions_table = Attribute(3, array(BITS), access=_RW)
    weightings_table = Attribute(4, array(array(LONG_UNSIGNED)), access=_RW)
    most_recent_requests_table = Attribute(5, RAW, dynamic=True)
    last_outcome = Attribute(6, UNSIGNED, dynamic=True)

    request_action = Method(
        1,
        structure(ArbitratorRequest, UNSIGNED, BITS),
        unsure="whether actors are numbered from 1, as here; what a tie means",
    )
    reset = Method(2)
