# SPDX-License-Identifier: Apache-2.0
"""Versions by columns agree with versions one by one."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.exchange.quality import Quality
from openami.mdm.versions import assign, coverage_changes
from openami.store.intervals import SCHEMA

ESTIMATED = int(Quality.ESTIMATED)
Key = tuple[int, int, int]

keys = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(0, 3))
arrivals = st.lists(st.tuples(keys, st.integers(0, 2)), max_size=25)
stored = st.dictionaries(
    keys,
    st.tuples(st.integers(0, 2), st.sampled_from([0, ESTIMATED, 32]), st.integers(1, 4)),
    max_size=8,
)


def frame(rows: list[tuple[Key, int, int, int]], *, versions: bool) -> pl.DataFrame:
    made = pl.DataFrame(
        {
            "meter_id": [key[0] for key, *_ in rows],
            "channel": [key[1] for key, *_ in rows],
            "start": [key[2] * 1_800_000_000 for key, *_ in rows],
            "value": [value for _, value, _, _ in rows],
            "quality": [quality for _, _, quality, _ in rows],
            "version": [version for *_, version in rows],
            "received_us": [0 for _ in rows],
            "message_id": list(range(len(rows))),
        }
    ).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    return made if versions else made.drop("version")


@given(arrivals, stored)
@settings(max_examples=200)
def test_columns_agree_with_one_by_one(
    found: list[tuple[Key, int]], before: dict[Key, tuple[int, int, int]]
) -> None:
    arriving = frame([(key, value, 0, 0) for key, value in found], versions=False)
    existing = frame([(key, *state) for key, state in before.items()], versions=True)

    versioned = assign(arriving, existing)

    state = dict(before)
    expected = []
    changed = 0
    measured = {key for key, (_, quality, _) in before.items() if not quality & ESTIMATED}
    actual = estimated = 0
    for key, value in found:
        old, quality, version = state.get(key, (None, ESTIMATED, 0))
        if old == value and not quality & ESTIMATED:
            continue
        if old is not None and not quality & ESTIMATED:
            changed += 1
        state[key] = (value, 0, version + 1)
        expected.append((*key, value, version + 1))
        if key[1] == 1 and key not in measured:
            actual += 1
            estimated -= key in before
        measured.add(key)
    rows = versioned.readings.with_columns(pl.col("start").dt.epoch("us") // 1_800_000_000)
    got = rows.select("meter_id", "channel", "start", "value", "version").rows()
    assert sorted(got) == sorted(expected)
    assert versioned.changed().height == changed
    counts = coverage_changes(versioned.before, 1)
    assert (counts["actual"].sum(), counts["estimated"].sum()) == (actual, estimated)


def test_a_meter_that_contradicts_itself_without_end_stops_nobody_else() -> None:
    """A version is two octets: the value that none is left for is refused, and others are kept."""
    key, other = (1, 1, 0), (2, 1, 0)
    existing = frame([(key, 1, 0, 2**15 - 2)], versions=True)
    arriving = frame(
        [(key, 2, 0, 0), (key, 1, 0, 0), (key, 2, 0, 0), (other, 5, 0, 0)], versions=False
    )

    versioned = assign(arriving, existing)

    kept = versioned.readings.select("meter_id", "value", "version").rows()
    assert kept == [(1, 2, 2**15 - 1), (2, 5, 1)]
    assert versioned.refused["value"].to_list() == [1, 2]
    assert versioned.before.height == 2
