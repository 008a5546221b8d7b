# SPDX-License-Identifier: Apache-2.0
"""Which behaviour belongs to which interface class: one row each.

`bring_to_life` walks a device's objects and binds to each what its row says; an object whose class
has no row here, or that lacks an attribute its behaviour needs, keeps its stored values and is
reported to the host.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from openami.cosem.behaviour.activation import bind_register_activation
from openami.cosem.behaviour.activity import bind_activity_calendar
from openami.cosem.behaviour.arbitration import bind_arbitrator
from openami.cosem.behaviour.capture import bind_profile_generic
from openami.cosem.behaviour.clock import bind_clock
from openami.cosem.behaviour.compact import bind_compact_data
from openami.cosem.behaviour.counters import (
    bind_counters,
    bind_g3_mac_setup,
    bind_prime_administration,
    bind_prime_llc,
)
from openami.cosem.behaviour.demand import bind_demand_register
from openami.cosem.behaviour.disconnection import bind_disconnect_control
from openami.cosem.behaviour.host import Begins, Host, Life
from openami.cosem.behaviour.hosted import (
    bind_array_manager,
    bind_association,
    bind_auto_answer,
    bind_auto_connect,
    bind_coap_diagnostic,
    bind_data_protection,
    bind_diagnosis,
    bind_function_control,
    bind_image_transfer,
    bind_ipv4_setup,
    bind_ipv6_setup,
    bind_mbus_client,
    bind_mbus_diagnostic,
    bind_ntp_setup,
    bind_port_protection,
    bind_push_setup,
    bind_sap_assignment,
    bind_setup,
)
from openami.cosem.behaviour.hosted_payment import bind_account, bind_token_gateway
from openami.cosem.behaviour.limiting import bind_limiter
from openami.cosem.behaviour.monitor import bind_register_monitor, bind_sensor_manager
from openami.cosem.behaviour.parameters import bind_parameter_monitor
from openami.cosem.behaviour.registers import bind_register
from openami.cosem.behaviour.schedule import bind_schedule
from openami.cosem.behaviour.scripts import bind_script_table
from openami.cosem.behaviour.single_action import bind_single_action_schedule
from openami.cosem.behaviour.special_days import bind_special_days_table
from openami.cosem.behaviour.stations import bind_station
from openami.cosem.behaviour.tables import (
    bind_data,
    bind_register_table,
    bind_status_mapping,
    bind_utility_tables,
)
from openami.cosem.behaviour.waveform import bind_measurement_data_monitoring
from openami.cosem.device import LogicalDevice


class Behaviour(NamedTuple):
    """How objects of a class come to life.

    Attributes:
        class_id: The class.
        versions: Those of its versions that the behaviour is right for.
        bind: Binds one object; returns what acts or keeps a state, or None.
        needs: Attributes without whose value nothing can be bound.
    """

    class_id: int
    versions: tuple[int, ...]
    bind: Callable[[Any, Life], object | None]
    needs: tuple[int, ...] = ()


_ROWS: Final[tuple[Behaviour, ...]] = (
    Behaviour(1, (0,), bind_data),
    Behaviour(3, (0,), bind_register),
    Behaviour(4, (0,), bind_register),
    Behaviour(5, (0,), bind_demand_register, needs=(3, 8, 9)),
    Behaviour(6, (0,), bind_register_activation),
    Behaviour(7, (0, 1), bind_profile_generic, needs=(3,)),
    Behaviour(8, (0,), bind_clock),
    Behaviour(9, (0,), bind_script_table, needs=(2,)),
    Behaviour(10, (0,), bind_schedule, needs=(2,)),
    Behaviour(11, (0,), bind_special_days_table, needs=(2,)),
    Behaviour(15, (1, 2, 3), bind_association),
    Behaviour(17, (0,), bind_sap_assignment, needs=(2,)),
    Behaviour(18, (0,), bind_image_transfer, needs=(2,)),
    Behaviour(19, (0, 1), bind_setup),
    Behaviour(20, (0,), bind_activity_calendar, needs=(3, 4, 5)),
    Behaviour(21, (0,), bind_register_monitor, needs=(2, 3, 4)),
    Behaviour(22, (0,), bind_single_action_schedule, needs=(2, 4)),
    Behaviour(23, (0, 1), bind_setup),
    Behaviour(24, (0, 1), bind_setup),
    Behaviour(25, (0,), bind_setup),
    Behaviour(26, (0,), bind_utility_tables),
    Behaviour(27, (0, 1), bind_setup),
    Behaviour(28, (0, 2), bind_auto_answer, needs=(2, 3, 5, 6)),
    Behaviour(29, (0, 1, 2), bind_auto_connect, needs=(2, 3, 4, 5, 6)),
    Behaviour(30, (0,), bind_data_protection, needs=(6,)),
    Behaviour(40, (0, 1, 2, 3), bind_push_setup, needs=(2, 3)),
    Behaviour(41, (0,), bind_setup),
    Behaviour(42, (0,), bind_ipv4_setup),
    Behaviour(43, (0,), bind_setup),
    Behaviour(44, (0,), bind_setup),
    Behaviour(45, (0,), bind_setup),
    Behaviour(46, (0,), bind_setup),
    Behaviour(47, (0, 1, 2), bind_diagnosis),
    Behaviour(48, (0,), bind_ipv6_setup),
    Behaviour(50, (0, 1), bind_setup),
    Behaviour(51, (0,), bind_station),
    Behaviour(52, (0,), bind_setup),
    Behaviour(53, (0,), bind_counters),
    Behaviour(55, (0, 1), bind_setup),
    Behaviour(57, (0,), bind_setup),
    Behaviour(58, (0,), bind_setup),
    Behaviour(59, (0,), bind_setup),
    Behaviour(61, (0,), bind_register_table, needs=(3,)),
    Behaviour(62, (0, 1), bind_compact_data, needs=(3,)),
    Behaviour(63, (0,), bind_status_mapping, needs=(3,)),
    Behaviour(65, (0, 1), bind_parameter_monitor),
    Behaviour(66, (0,), bind_measurement_data_monitoring),
    Behaviour(67, (0,), bind_sensor_manager),
    Behaviour(68, (0,), bind_arbitrator, needs=(2, 3, 4)),
    Behaviour(70, (0, 1, 2), bind_disconnect_control),
    Behaviour(71, (0,), bind_limiter, needs=(2, 4, 11)),
    Behaviour(72, (0, 1, 2), bind_mbus_client, needs=(3, 4)),
    Behaviour(73, (0, 1), bind_setup),
    Behaviour(74, (0,), bind_setup),
    Behaviour(76, (0,), bind_setup),
    Behaviour(77, (0,), bind_mbus_diagnostic),
    Behaviour(80, (0,), bind_prime_llc),
    Behaviour(81, (0,), bind_counters),
    Behaviour(82, (0,), bind_setup),
    Behaviour(84, (0,), bind_counters),
    Behaviour(85, (0,), bind_prime_administration),
    Behaviour(90, (0, 1), bind_counters),
    Behaviour(91, (0, 1, 2, 3, 4), bind_g3_mac_setup),
    Behaviour(92, (0, 1, 2, 3, 4), bind_setup),
    Behaviour(95, (0,), bind_station),
    Behaviour(97, (0,), bind_station),
    Behaviour(98, (0,), bind_station),
    Behaviour(100, (0,), bind_ntp_setup, needs=(2,)),
    Behaviour(101, (0,), bind_setup),
    Behaviour(102, (0,), bind_setup),
    Behaviour(103, (0,), bind_setup),
    Behaviour(104, (0,), bind_station),
    Behaviour(105, (0,), bind_setup),
    Behaviour(111, (0,), bind_account, needs=(2, 9, 13, 14, 15)),
    Behaviour(115, (0,), bind_token_gateway),
    Behaviour(122, (0,), bind_function_control),
    Behaviour(123, (0,), bind_array_manager, needs=(2,)),
    Behaviour(124, (0,), bind_port_protection, needs=(2, 3, 4, 5, 6)),
    Behaviour(126, (0,), bind_setup),
    Behaviour(127, (0,), bind_counters),
    Behaviour(128, (0,), bind_station),
    Behaviour(129, (0,), bind_counters),
    Behaviour(130, (0,), bind_setup),
    Behaviour(131, (0,), bind_setup),
    Behaviour(132, (0, 1), bind_counters),
    Behaviour(133, (0, 1), bind_counters),
    Behaviour(140, (0,), bind_setup),
    Behaviour(143, (0,), bind_setup),
    Behaviour(151, (0, 1), bind_diagnosis),
    Behaviour(152, (0,), bind_setup),
    Behaviour(153, (0,), bind_coap_diagnostic),
    Behaviour(161, (0, 1), bind_station),
    Behaviour(162, (0, 1), bind_setup),
)

BEHAVIOURS: Final[Mapping[int, Behaviour]] = MappingProxyType({row.class_id: row for row in _ROWS})
"""By class_id."""


def bring_to_life(
    device: LogicalDevice, host: Host, *, behaviours: Mapping[int, Behaviour] = BEHAVIOURS
) -> Life:
    """Bind every object of a device to the behaviour of its class.

    Args:
        device: With its objects and their stored values, e.g. from a dump of a meter.
        host: The ports.
        behaviours: Another table, for a host that knows classes of its own.

    Returns:
        The device with its actors: tell `actors` the calendar time when they are due.
    """
    life = Life(device, host)
    for thing in list(device):
        row = behaviours.get(thing.class_id)
        if row is None or thing.version not in row.versions:
            continue
        missing = [index for index in row.needs if index not in thing.values | dict(thing.sources)]
        if missing:
            numbers = ", ".join(map(str, missing))
            life.report(
                thing.values[1], f"{thing!r} has no value for attribute {numbers}: it rests"
            )
            continue
        life.take(thing, row.bind(thing, life))
    for each in life.acting.values():
        if isinstance(each, Begins):
            each.begin()
    return life
