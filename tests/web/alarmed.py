# SPDX-License-Identifier: Apache-2.0
"""Alarms for pages: one of each state, one that no table names."""

from openami.headend.companion import Companions
from openami.store import alarms
from openami.store.alarms import Picture
from openami.store.database import transaction
from web.ami import Ami

HOUR_US = 3_600_000_000


def alarm(ami: Ami) -> None:
    """Meter 1: a cover that stands, an unknown bit, a neutral that is over, a cleared field.

    Meter 2 has the cover, too.
    """
    name = Companions.load().known["openami"].alarm_name
    first, second = ami.now_us - 3 * HOUR_US, ami.now_us - 2 * HOUR_US
    pictures = [
        Picture(
            meter_id=1,
            as_of_us=first,
            received_us=first,
            words={1: {"register": 0x205, "descriptor": 0x205, "filter": 2**32 - 1}},
        ),
        Picture(
            meter_id=1,
            as_of_us=second,
            received_us=second,
            words={1: {"register": 0x80000001, "descriptor": 0x80000201}, 0: {"register": 0}},
            cleared={1: 4},
            cleared_by="<i>ruth</i>",
        ),
        Picture(meter_id=2, as_of_us=second, received_us=second, words={1: {"register": 1}}),
    ]
    with transaction(ami.engine) as connection:
        alarms.tell(connection, [(each, name) for each in pictures])
