# SPDX-License-Identifier: Apache-2.0
"""What became of a campaign, as figures: for people (`campaign_picture`) and for programs.

The figures are counted in the store; meters come by pages, however many there are.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from openami.exchange.campaign import MeterState, acts
from openami.runtime.clock import MICROSECONDS
from openami.store import broadcasts, campaign_sums, campaigns, releases
from openami.store.campaign_meters import Target
from openami.store.campaign_sums import Kind, Moves
from openami.store.campaigns import Campaign
from openami.store.database import Database, reading

Report = dict[str, Any]

BAD: Final = (MeterState.REVERTED, MeterState.FAILED, MeterState.IN_DOUBT)
AT_ONCE: Final = 1000  # meters of a page
LISTED: Final = 1000  # meters of a report for people


def report(database: Database, campaign_id: str) -> Report:
    """Return what is known of a campaign but for its meters, in the types of JSON.

    Args:
        database: The store.
        campaign_id: Its id, or how it begins.

    Raises:
        UserError: There is no such campaign.
    """
    found = campaigns.campaign(database, campaign_id)
    release = releases.release(database, found.release_id)
    sums = campaign_sums.sums(database, found.campaign_id)
    kinds = campaign_sums.kinds(database, found.campaign_id)
    groups = broadcasts.runs_of(database, found.campaign_id)
    return {
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
        "octets_sent": sums.octets_sent,
        "blocks_sent": sums.blocks_sent,
        "blocks_heard": sums.blocks_heard,
        "broadcast": {
            "groups": len(groups),
            "blocks": sum(each.blocks_sent for each in groups),
            "octets": sum(each.octets_sent for each in groups),
        },
        "blocks_again": sums.blocks_again,
        "reasons": _total({each.reason: each.meters} for each in kinds if each.reason),
        "versions_before": _total(
            {each.version_before or "not asked": each.meters} for each in kinds
        ),
        "versions_after": _total({_runs_now(each): each.meters} for each in kinds),
        "timeline": timeline(campaign_sums.moves(database, found.campaign_id, BAD)),
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


def meters(
    database: Database, campaign_id: str, *, after: int = -1, limit: int = AT_ONCE
) -> list[Report]:
    """Return meters of a campaign by number: those after one, so many at once."""
    found = campaign_sums.page(database, campaign_id, after=after, limit=limit)
    return [_meter(each) for each in found]


def every_meter(database: Database, campaign_id: str) -> Iterator[Report]:
    """Yield the meters of a campaign by number, read page by page."""
    after = -1
    while found := meters(database, campaign_id, after=after):
        yield from found
        after = found[-1]["meter_id"]


def first_looked_at(database: Database, campaign_id: str) -> list[Report]:
    """Return the meters that a report for people lists: those that did not do well first."""
    found = campaign_sums.first_looked_at(database, campaign_id, BAD, limit=LISTED)
    return [_meter(each) for each in found]


def as_json(told: Report, each: Iterable[Report]) -> Iterator[str]:
    """Yield a report with its meters as JSON, piece by piece."""
    yield json.dumps(told, indent=1).removesuffix("\n}")
    mark = ',\n "meters": [\n'
    for meter in each:
        yield f"{mark}  {json.dumps(meter)}"
        mark = ",\n"
    yield "\n ]\n}\n"


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
        "states": _by_state(wave["states"] for wave in waves),
        "note": found.note,
        "next": f"{decision.next.value}: {decision.why}",
        "may": [act.value for act in acts(found.state)],
        "asked_by": found.asked_by,
        "asked_at": moment(found.asked_real_us),
    }


def timeline(moves: Iterable[Moves]) -> list[list[float]]:
    """Return how many meters had the image, were confirmed, and were left, by time.

    Rows are real UTC seconds and the three counts, which only rise.
    """
    counts, rows = [0, 0, 0], []
    for each in moves:
        counts[each.which] += each.meters
        rows.append([each.at_real_us / MICROSECONDS, *map(float, counts)])
    return rows


def moment(at_us: int | None) -> str | None:
    """Return a moment of real UTC, ISO 8601."""
    if at_us is None:
        return None
    return datetime.fromtimestamp(at_us / MICROSECONDS, UTC).isoformat(timespec="seconds")


def _runs_now(kind: Kind) -> str:
    if kind.state in {MeterState.IN_DOUBT, MeterState.ACTIVATING}:
        return "not known"
    return kind.version_after or kind.version_before or "not asked"


def _total(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in parts:
        total.update(counts)
    return dict(total)


def _by_state(waves: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter(_total(waves))
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
