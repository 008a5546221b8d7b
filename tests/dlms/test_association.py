# SPDX-License-Identifier: Apache-2.0
"""The association table, from both sides, and the names of contexts."""

import itertools

import pytest

from openami.dlms.association import (
    TRANSITIONS,
    ApplicationContext,
    Association,
    AssociationContext,
    Primitive,
    State,
)
from openami.dlms.errors import DecodeError, LocalProtocolError, RemoteProtocolError
from openami.dlms.security.keyset import KeySet


@pytest.mark.parametrize(("state", "primitive"), list(itertools.product(State, Primitive)))
def test_every_state_meets_every_primitive(state: State, primitive: Primitive) -> None:
    ours, theirs = Association(state), Association(state)

    if (after := TRANSITIONS.get((state, primitive))) is None:
        with pytest.raises(LocalProtocolError, match=f"{primitive.name} has no place"):
            ours.sent(primitive)
        with pytest.raises(RemoteProtocolError):
            theirs.received(primitive)
        assert ours.state is theirs.state is state
    else:
        ours.sent(primitive)
        theirs.received(primitive)
        assert ours.state is theirs.state is after


def test_before_pass_4_nothing_is_served() -> None:
    allowed = {p for p in Primitive if (State.AUTHENTICATION_PENDING, p) in TRANSITIONS}

    assert allowed == {
        Primitive.AUTHENTICATION_REQUEST,
        Primitive.AUTHENTICATION_ACCEPTED,
        Primitive.AUTHENTICATION_REJECTED,
        Primitive.RELEASE_REQUEST,
    }


def test_an_association_with_hls() -> None:
    association = Association()
    for primitive in (
        Primitive.OPEN_REQUEST,
        Primitive.OPEN_AUTHENTICATION_REQUIRED,
        Primitive.AUTHENTICATION_REQUEST,
        Primitive.AUTHENTICATION_ACCEPTED,
        Primitive.SERVICE,
        Primitive.NOTIFICATION,
        Primitive.RELEASE_REQUEST,
        Primitive.NOTIFICATION,
        Primitive.RELEASE_RESPONSE,
    ):
        association.sent(primitive)
    assert association.state is State.IDLE


def test_every_state_is_reached_and_left() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State) == set(TRANSITIONS.values())


@pytest.mark.parametrize("state", State)
def test_an_abort_leads_back_from_anywhere(state: State) -> None:
    aborted, lost = Association(state), Association(state)
    aborted.aborted()
    lost.lost()
    assert aborted.state is lost.state is State.IDLE


@pytest.mark.parametrize("context", ApplicationContext)
def test_every_context_has_its_name(context: ApplicationContext) -> None:
    assert context.oid.hex() == f"608574050801{context:02x}"
    assert ApplicationContext.from_oid(context.oid) is context
    assert (
        ApplicationContext.of(short_names=context.uses_short_names, ciphered=context.is_ciphered)
        is context
    )


@pytest.mark.parametrize("name", ["", "60857405080105", "60857405080201", "6085740508010101"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(DecodeError, match="names no application context"):
        ApplicationContext.from_oid(bytes.fromhex(name))


def test_a_context_shows_no_key() -> None:
    context = AssociationContext(
        keys=KeySet(encryption_key=b"secret-secret-se"), dedicated_key=b"hidden-hidden-hi"
    )
    assert "secret" not in repr(context)
    assert "hidden" not in repr(context)
