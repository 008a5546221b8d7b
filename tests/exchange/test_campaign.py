# SPDX-License-Identifier: Apache-2.0
"""The tables of a campaign, walked whole."""

import itertools

import pytest

from openami.exchange.campaign import (
    ENDED,
    FOLLOWED,
    JUDGEMENT,
    OVER,
    SENDING,
    STEPS,
    TRANSITIONS,
    Act,
    CampaignState,
    MeterState,
    Progress,
    Runs,
    acts,
    judge,
)

S = MeterState


def reachable(start: MeterState) -> set[MeterState]:
    found, new = {start}, {start}
    while new:
        new = {after for state in new for after in TRANSITIONS[state]} - found
        found |= new
    return found


def test_every_state_is_reached_and_every_state_can_come_to_an_end() -> None:
    assert TRANSITIONS.keys() == set(S) == reachable(S.PLANNED)
    assert all(reachable(state) & ENDED for state in S)
    assert set(S) == ENDED | SENDING | FOLLOWED
    assert len(S) == len(ENDED) + len(SENDING) + len(FOLLOWED)


def test_nothing_that_was_told_to_start_is_failed_or_skipped_unproven() -> None:
    for state in FOLLOWED:
        assert not TRANSITIONS[state] & {S.FAILED, S.SKIPPED, S.TRANSFERRING}


def test_only_verified_meters_are_told_to_start() -> None:
    before = {state for state in SENDING if S.ACTIVATING in TRANSITIONS[state]}
    assert before == {S.VERIFIED}


def test_every_answer_is_judged_and_every_verdict_can_be_written() -> None:
    assert JUDGEMENT.keys() == set(itertools.product(Runs, Progress))
    for state, (runs, progress) in itertools.product(FOLLOWED, JUDGEMENT):
        verdict = judge(state, runs, progress)
        assert verdict is state or verdict in TRANSITIONS[state]


def test_confirmed_is_what_runs_the_release_and_nothing_else() -> None:
    confirmed = {key for key, verdict in JUDGEMENT.items() if verdict is S.CONFIRMED}
    assert {runs for runs, _ in confirmed} == {Runs.RELEASE}
    assert (Runs.RELEASE, Progress.ACTIVATING) not in confirmed
    reverted = {key for key, verdict in JUDGEMENT.items() if verdict is S.REVERTED}
    assert {runs for runs, _ in reverted} == {Runs.BEFORE}


@pytest.mark.parametrize(("state", "act"), list(itertools.product(CampaignState, Act)))
def test_every_act_meets_every_state(state: CampaignState, act: Act) -> None:
    after = STEPS.get((state, act))
    if state in OVER:
        assert after is None
    if act is Act.CANCEL and state not in OVER:
        assert after is CampaignState.CANCELLED
    assert (act in acts(state)) == (after is not None and act not in {Act.STOP, Act.FINISH})


def test_a_person_can_go_on_after_a_rule_stopped_it() -> None:
    assert acts(CampaignState.STOPPED) == (Act.RESUME, Act.CANCEL)
