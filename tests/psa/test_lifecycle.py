# SPDX-License-Identifier: Apache-2.0
"""The life cycle goes one way, in bits that nothing sets again."""

import itertools

import pytest

from openami.psa.lifecycle import STAGES, LifeCycle, advance, of_fuses
from openami.psa.status import PsaError, Status


@pytest.mark.parametrize(("state", "to"), list(itertools.product(LifeCycle, LifeCycle)))
def test_every_state_meets_every_other(state: LifeCycle, to: LifeCycle) -> None:
    if to in STAGES[state].following:
        assert to > state
        fuses = advance(state, to)
        assert fuses == STAGES[to].fuses
        assert fuses & ~STAGES[state].fuses == 0, "bits only go from 1 to 0"
    else:
        with pytest.raises(PsaError) as caught:
            advance(state, to)
        assert caught.value.status is Status.NOT_PERMITTED


def test_no_way_leads_back() -> None:
    for state, stage in STAGES.items():
        reached, ahead = set(), set(stage.following)
        while ahead:
            reached.add(found := ahead.pop())
            ahead |= STAGES[found].following - reached
        assert state not in reached
        if state not in {LifeCycle.UNKNOWN, LifeCycle.DECOMMISSIONED}:
            assert LifeCycle.DECOMMISSIONED in reached, "everything can be scrapped"
        if state > LifeCycle.SECURED:
            assert not any(STAGES[each].provisioning for each in reached)
            assert LifeCycle.SECURED not in reached


@pytest.mark.parametrize("octet", range(256))
def test_every_pattern_of_fuses_is_a_state_or_permits_nothing(octet: int) -> None:
    state = of_fuses(octet)
    if state is LifeCycle.UNKNOWN:
        stage = STAGES[state]
        assert not any(
            (stage.keys, stage.provisioning, stage.trustworthy, stage.debug_secure, stage.following)
        )
    else:
        assert STAGES[state].fuses == octet


def test_what_the_states_permit() -> None:
    assert {state for state, stage in STAGES.items() if stage.trustworthy} == {
        LifeCycle.SECURED,
        LifeCycle.NON_PSA_ROT_DEBUG,
    }
    for stage in STAGES.values():
        assert not (stage.debug_secure and stage.keys), "who can look inside finds no keys"
        assert not stage.trustworthy or stage.keys
    assert {state for state, stage in STAGES.items() if stage.provisioning} == {
        LifeCycle.PSA_ROT_PROVISIONING
    }


def test_claims_are_those_of_rfc_9783() -> None:
    assert [state.value for state in LifeCycle] == [
        0x0000,
        0x1000,
        0x2000,
        0x3000,
        0x4000,
        0x5000,
        0x6000,
    ]


def test_claims_have_their_low_octet_left_to_the_implementation() -> None:
    for state in LifeCycle:
        assert LifeCycle.of_claim(state | 0x5A) is state
    assert LifeCycle.of_claim(0x7000) is LifeCycle.UNKNOWN
