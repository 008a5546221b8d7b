# SPDX-License-Identifier: Apache-2.0
"""Concentrators out of reach: no outage of supply, and shown beside those (docs/outages.md, 4).

One that told before that it goes, for a new start or because somebody stops it, is given the time
that this takes.
"""

from openami.exchange.field import NoticeCode
from openami.exchange.supply import Scope
from openami.headend.directory import Directory
from openami.headend.sitting import Sitting
from openami.runtime.clock import MICROSECONDS
from openami.store import field, outages, supply
from openami.store.outages import Outage
from openami.store.supply import UplinkState


def judge_uplinks(sitting: Sitting, directory: Directory) -> None:
    """A concentrator out of reach: nothing is known of anybody's supply behind it."""
    known = outages.open_at(sitting.connection, Scope.CONCENTRATOR)
    for uplink in supply.uplinks(sitting.connection):
        place = directory.place(uplink.concentrator)
        outage = known.get(place)
        if outage is not None and uplink.up:
            ended_us = {outage.outage_id: max(outage.began_us, uplink.since_us)}
            outages.end_all(sitting.connection, ended_us, sitting.now_real_us)
            sitting.note(outage.outage_id, "its uplink is back")
        elif (
            outage is None
            and not uplink.up
            and (lost := _lost(sitting, uplink))
            and (meters := directory.of_concentrator(uplink.concentrator))
        ):
            away = Outage(
                scope=Scope.CONCENTRATOR,
                place=place,
                region=meters[0].region,
                began_us=uplink.since_us,
                found_real_us=sitting.now_real_us,
                verified=False,
                sentence=f"{lost}: whether its {len(meters)} meters have power is not known",
            )
            sitting.begin([(away, ())])


def _lost(sitting: Sitting, uplink: UplinkState) -> str:
    """Return why a concentrator is taken for out of reach; empty while it is waited for."""
    rules = sitting.rules
    away_s = (sitting.now_real_us - uplink.since_real_us) / MICROSECONDS
    if away_s < rules.lost_uplink_s:
        return ""
    told = field.farewell(sitting.connection, uplink.concentrator)
    if told is None:
        return "its uplink is lost"
    if told.code == NoticeCode.STOPPED:
        at = f"{told.at:%Y-%m-%d %H:%M} UTC"
        return f"it was stopped in order at {at} and is still away" * (away_s >= rules.stopped_s)
    return "its uplink is lost, and did not come back after a new start" * (
        away_s >= rules.planned_restart_s
    )
