# SPDX-License-Identifier: Apache-2.0
"""Plans and decisions: sizes of waves, canaries of every group, rules that stop, hours."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.exchange.campaign import ENDED, FOLLOWED, MeterState
from openami.exchange.waves import (
    Next,
    Plan,
    PlanError,
    Share,
    Standing,
    StopRules,
    Tries,
    Window,
    broken_rule,
    clock_s,
    decide,
    sizes,
    spread,
)

S = MeterState
counts = st.dictionaries(st.sampled_from(S), st.integers(0, 50))
shares = st.one_of(
    st.integers(1, 500).map(lambda n: Share(count=n)),
    st.floats(0.1, 100).map(lambda p: Share(percent=p)),
)


@given(st.lists(shares, min_size=1, max_size=6), st.integers(1, 5000))
def test_waves_hold_every_meter_once(waves: list[Share], total: int) -> None:
    cut = sizes(waves, total)
    assert sum(cut) == total
    assert min(cut) >= 1
    assert cut[0] == min(total, waves[0].of(total))


def test_shares_are_of_all_meters() -> None:
    waves = [Share.parse(text) for text in ("2", "10%", "50%")]
    assert sizes(waves, 100) == [2, 10, 50, 38]
    assert sizes(waves, 3) == [2, 1]
    assert Share.parse("0.1%").of(100) == 1


@given(st.lists(st.tuples(st.integers(), st.sampled_from("abc")), unique_by=lambda m: m[0]))
def test_canaries_are_of_every_group(meters: list[tuple[int, str]]) -> None:
    order = spread(meters)
    groups = dict(meters)
    assert sorted(order) == sorted(groups)
    first = {groups[meter] for meter in order[: len(set(groups.values()))]}
    assert first == set(groups.values())


@pytest.mark.parametrize(
    ("text", "open_at", "shut_at"),
    [("22:00-05:00", ("22:00", "23:59", "04:59"), ("05:00", "21:59")),
     ("09:30-10:00", ("09:30", "09:59"), ("10:00", "09:29"))],
)  # fmt: skip
def test_windows_may_lie_across_midnight(
    text: str, open_at: tuple[str, ...], shut_at: tuple[str, ...]
) -> None:
    window = Window.parse(text)
    assert str(window) == text
    assert all(window.is_open(clock_s(at)) for at in open_at)
    assert not any(window.is_open(clock_s(at)) for at in shut_at)


@pytest.mark.parametrize("text", ["0", "0%", "101%", "-1", "x", ""])
def test_a_wave_of_nobody_is_refused(text: str) -> None:
    with pytest.raises(PlanError):
        Share.parse(text)


@pytest.mark.parametrize("text", ["22:00", "24:00-05:00", "5-6", "03:00-03:00"])
def test_a_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PlanError):
        Window.parse(text)


def test_a_plan_comes_back_from_what_is_stored() -> None:
    plan = Plan(
        waves=(Share(count=2), Share(percent=12.5)),
        window=Window.parse("22:00-05:00"),
        activate_s=clock_s("02:30"),
        from_versions=("a", "b"),
        shown_as="V2",
        rules=StopRules(failed_percent=1.5, alarms_most=3),
        tries=Tries(attempts_most=3),
    )
    assert Plan.of(plan.as_dict()) == plan
    assert Plan.of(Plan().as_dict()) == Plan()


def standing(judged: dict[MeterState, int], **other: float) -> Standing:
    return Standing(states=judged, judged=judged, **other)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("judged", "other", "broken"),
    [
        ({S.CONFIRMED: 9}, {}, False),
        ({S.CONFIRMED: 9, S.REVERTED: 1}, {}, True),
        ({S.CONFIRMED: 9, S.IN_DOUBT: 1}, {}, True),
        ({S.CONFIRMED: 9}, {"alarms": 1}, True),
        ({S.CONFIRMED: 19, S.FAILED: 1}, {}, False),
        ({S.CONFIRMED: 18, S.FAILED: 1}, {}, True),
        ({S.FAILED: 1}, {}, True),
        ({S.FAILED: 1}, {"excused": 1}, False),
        ({S.CONFIRMED: 1, S.FAILED: 9}, {"excused": 9}, False),
        ({S.SKIPPED: 9}, {}, False),
    ],
)
def test_rules(judged: dict[MeterState, int], other: dict[str, float], *, broken: bool) -> None:
    rule = broken_rule(StopRules(), standing(judged, **other))
    assert bool(rule) is broken
    found = decide(Plan(), standing(judged, **other), 1)
    assert (found.next is Next.STOP) is broken


@given(counts, st.integers(0, 3), st.floats(0, 10_000))
def test_a_wave_is_left_only_when_it_is_done_and_has_soaked(
    states: dict[MeterState, int], left: int, quiet_s: float
) -> None:
    rules = StopRules(
        failed_percent=100, reverted_most=10**6, in_doubt_most=10**6, alarms_most=10**6
    )
    plan = replace(Plan(), rules=rules)
    found = decide(plan, standing(states, quiet_s=quiet_s), left)
    under_way = sum(n for s, n in states.items() if s not in ENDED and s is not S.IN_DOUBT)
    if under_way:
        assert found.next is Next.WAIT
    if found.next is Next.OPEN:
        assert left
        assert quiet_s >= plan.soak_s
    if found.next is Next.FINISH:
        assert not left
        assert not any(states.get(s) for s in FOLLOWED)


@given(st.integers(0, 100))
def test_pauses_double_and_end(attempts: int) -> None:
    tries = Tries()
    assert tries.first_s <= tries.pause_s(attempts) <= tries.most_s
    assert tries.pause_s(attempts + 1) in {2 * tries.pause_s(attempts), tries.most_s}


@pytest.mark.parametrize(
    ("count", "sentence"),
    [(1, "1 meter of the wave is under way"), (7, "7 meters of the wave are under way")],
)
def test_what_is_waited_for_is_said_in_words(count: int, sentence: str) -> None:
    found = decide(Plan(), standing({MeterState.TRANSFERRING: count}), 1)
    assert (found.next, found.why) == (Next.WAIT, sentence)
