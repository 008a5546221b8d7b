# SPDX-License-Identifier: Apache-2.0
"""The state table, walked whole."""

import itertools

import pytest

from openami.dlms.errors import LocalProtocolError
from openami.dlms.hdlc.control import Kind
from openami.dlms.hdlc.states import TRANSITIONS, Mode, State


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(State, Kind)))
def test_every_state_meets_every_frame(state: State, kind: Kind) -> None:
    sending, receiving = Mode(state), Mode(state)
    following = TRANSITIONS.get((state, kind))

    if following is None:
        assert not receiving.received(kind)
        assert receiving.state is state
        with pytest.raises(LocalProtocolError, match=f"{kind.value} has no place in state"):
            sending.sent(kind)
    else:
        assert receiving.received(kind)
        sending.sent(kind)
        assert receiving.state is sending.state is following


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached_and_left(state: State) -> None:
    assert any(after is state and before is not state for (before, _), after in TRANSITIONS.items())
    assert any(before is state and after is not state for (before, _), after in TRANSITIONS.items())


@pytest.mark.parametrize("state", [s for s in State if s is not State.DISCONNECTING])
def test_snrm_leads_to_a_link_from_anywhere_but_a_farewell(state: State) -> None:
    mode = Mode(state)
    mode.sent(Kind.SNRM)
    mode.received(Kind.UA)
    assert mode.state is State.NRM


@pytest.mark.parametrize("state", State)
def test_disc_leads_out_from_anywhere(state: State) -> None:
    mode = Mode(state)
    mode.sent(Kind.DISC)
    mode.received(Kind.UA)
    assert mode.state is State.NDM


def test_information_only_travels_on_a_link() -> None:
    assert {state for state, kind in TRANSITIONS if kind in {Kind.I, Kind.RR, Kind.RNR}} == {
        State.NRM
    }
