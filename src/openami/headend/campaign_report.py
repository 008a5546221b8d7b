# SPDX-License-Identifier: Apache-2.0
"""What became of a campaign, as figures: for people (`campaign_picture`) and for programs."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from openami.exchange.campaign import MeterState, acts
from openami.runtime.clock import MICROSECONDS
from openami.store import broadcasts, campaign_meters, campaigns, releases
from openami.store.campaign_meters import Target
from openami.store.campaigns import Campaign
from openami.store.database import Database, reading

Report = dict[str, Any]

BAD: Final = (MeterState.REVERTED, MeterState.FAILED, MeterState.IN_DOUBT)


def report(database: Database, campaign_id: str, *, meters: bool = True) -> Report:
    """Return what is known of a campaign, in the types of JSON.

    Args:
        database: The store.
        campaign_id: Its id, or how it begins.
        meters: Whether to tell each meter.

    Raises:
        UserError: There is no such campaign.
    """
    found = campaigns.campaign(database, campaign_id)
    release = releases.release(database, found.release_id)
    targets = campaign_meters.targets(database, found.campaign_id)
    groups = broadcasts.runs_of(database, found.campaign_id)
    told: Report = {
        **summary(database, found),
        "release": {
            "release_id": release.release_id,
            "name": release.name,
            "version": release.version,
            "octets": release.size,
            "hash": release.digest.hex(),
            "signed_with": release.keyhash.hex(),
            "verified_by": release.added_by,
            "verified_at": moment(release.added_real_us),
        },
        "plan": found.plan.as_dict(),
        "octets_sent": sum(each.octets_sent for each in targets),
        "blocks_sent": sum(each.blocks_sent for each in targets),
        "blocks_heard": sum(each.blocks_heard for each in targets),
        "broadcast": {
            "groups": len(groups),
            "blocks": sum(each.blocks_sent for each in groups),
            "octets": sum(each.octets_sent for each in groups),
        },
        "blocks_again": sum(max(0, each.blocks_sent - each.blocks) for each in targets),
        "reasons": dict(Counter(each.reason for each in targets if each.reason)),
        "versions_before": dict(Counter(each.version_before or "not asked" for each in targets)),
        "versions_after": dict(Counter(_runs_now(each) for each in targets)),
        "timeline": timeline(targets),
        "history": [
            {
                "at": moment(step.at_real_us),
                "state": step.state.value,
                "wave": step.wave,
                "by": step.by,
                "note": step.note,
            }
            for step in campaigns.history(database, found.campaign_id)
        ],
    }
    if meters:
        told["meters"] = [_meter(each) for each in targets]
    return told


def summary(database: Database, found: Campaign) -> Report:
    """Return how a campaign stands, wave by wave, and what comes next."""
    waves: list[dict[str, Any]] = [
        {"wave": number, "open": number <= found.wave, "meters": 0, "states": {}}
        for number in range(found.waves)
    ]
    for count in campaigns.counts(database, found.campaign_id):
        wave = waves[count.wave]
        wave["meters"] += count.meters
        states = wave["states"]
        states[count.state.value] = states.get(count.state.value, 0) + count.meters
    with reading(database) as connection:
        decision = campaigns.decision_for(connection, found)
    return {
        "campaign_id": found.campaign_id,
        "name": found.name,
        "state": found.state.value,
        "wave": found.wave,
        "waves": waves,
        "meters_in_all": sum(wave["meters"] for wave in waves),
        "states": _total(wave["states"] for wave in waves),
        "note": found.note,
        "next": f"{decision.next.value}: {decision.why}",
        "may": [act.value for act in acts(found.state)],
        "asked_by": found.asked_by,
        "asked_at": moment(found.asked_real_us),
    }


def timeline(targets: Iterable[Target]) -> list[list[float]]:
    """Return how many meters had the image, were confirmed, and were left, by time.

    Rows are real UTC seconds and the three counts, which only rise.
    """
    moves: list[tuple[int, int]] = []
    for each in targets:
        if each.transferred_real_us is not None:
            moves.append((each.transferred_real_us, 0))
        if each.state is MeterState.CONFIRMED:
            moves.append((each.changed_real_us, 1))
        elif each.state in BAD:
            moves.append((each.changed_real_us, 2))
    counts, rows = [0, 0, 0], []
    for at_us, which in sorted(moves):
        counts[which] += 1
        rows.append([at_us / MICROSECONDS, *map(float, counts)])
    return rows


def moment(at_us: int | None) -> str | None:
    """Return a moment of real UTC, ISO 8601."""
    if at_us is None:
        return None
    return datetime.fromtimestamp(at_us / MICROSECONDS, UTC).isoformat(timespec="seconds")


def _runs_now(target: Target) -> str:
    if target.state in {MeterState.IN_DOUBT, MeterState.ACTIVATING}:
        return "not known"
    return target.version_after or target.version_before or "not asked"


def _total(waves: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for states in waves:
        total.update(states)
    return {state.value: total[state.value] for state in MeterState if total[state.value]}


def _meter(target: Target) -> Report:
    return {
        "meter_id": target.meter_id,
        "wave": target.wave,
        "state": target.state.value,
        "reason": target.reason,
        "note": target.note,
        "version_before": target.version_before,
        "version_after": target.version_after,
        "blocks": target.blocks,
        "blocks_there": target.blocks_there,
        "blocks_sent": target.blocks_sent,
        "blocks_heard": target.blocks_heard,
        "octets_sent": target.octets_sent,
        "initiated": target.initiated,
        "attempts": target.attempts,
        "began_at": moment(target.began_real_us),
        "transferred_at": moment(target.transferred_real_us),
        "activated_at": moment(target.activated_real_us),
        "changed_at": moment(target.changed_real_us),
    }
