# SPDX-License-Identifier: Apache-2.0
"""Concentrators out of reach: no outage of supply, and shown beside those (docs/outages.md, 4)."""

from openami.exchange.supply import Scope
from openami.headend.config import OutageSettings
from openami.headend.directory import Directory
from openami.headend.sitting import Sitting
from openami.runtime.clock import MICROSECONDS
from openami.store import field, supply
from openami.store.outages import Outage


def judge_uplinks(sitting: Sitting, rules: OutageSettings, directory: Directory) -> None:
    """A concentrator out of reach: nothing is known of anybody's supply behind it."""
    patience_us = rules.lost_uplink_s * MICROSECONDS
    planned_us = rules.planned_restart_s * MICROSECONDS
    known = {each.place: each for each in sitting.open if each.scope is Scope.CONCENTRATOR}
    for uplink in supply.uplinks(sitting.connection):
        place = directory.place(uplink.concentrator)
        outage = known.get(place)
        if outage is not None and uplink.up:
            sitting.end(outage, max(outage.began_us, uplink.since_us), "its uplink is back")
        elif (
            outage is None
            and not uplink.up
            and (silent_us := sitting.now_real_us - uplink.since_real_us) >= patience_us
            and (
                silent_us >= planned_us
                or not field.means_to_return(sitting.connection, uplink.concentrator)
            )
            and (meters := directory.of_concentrator(uplink.concentrator))
        ):
            sitting.begin(
                Outage(
                    scope=Scope.CONCENTRATOR,
                    place=place,
                    region=meters[0].region,
                    began_us=uplink.since_us,
                    found_real_us=sitting.now_real_us,
                    verified=False,
                    sentence=(
                        f"its uplink is lost: whether its {len(meters)} meters have power"
                        " is not known"
                    ),
                )
            )
