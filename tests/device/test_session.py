# SPDX-License-Identifier: Apache-2.0
"""Sealed frames: opened by the peer, once, unchanged."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.device.session import MOST_FRAMES, Direction, Session

ONE = Direction(bytes(range(16)), bytes(range(7)))
OTHER = Direction(bytes(range(16, 32)), bytes(range(7, 14)))


def ends() -> tuple[Session, Session]:
    return Session(7, ONE, OTHER), Session(7, OTHER, ONE)


@given(st.lists(st.binary(max_size=64), max_size=20), st.randoms(use_true_random=False))
def test_of_frames_in_any_order_those_that_rise_are_opened(said: list[bytes], draw: object) -> None:
    here, there = ends()
    frames = [here.seal(64, each, sequence=n, ack=0) for n, each in enumerate(said)]
    order = [frame for frame in frames for _ in range(2)]
    draw.shuffle(order)  # type: ignore[attr-defined]
    highest = 0
    for frame in order:
        opened = there.open(frame)
        assert opened == (said[frame.counter - 1] if frame.counter > highest else None)
        highest = max(highest, frame.counter)


@pytest.mark.parametrize(
    "change", [{"kind": 65}, {"counter": 2}, {"sequence": 1}, {"ack": 1}, {"payload": bytes(12)}]
)
def test_nothing_of_a_frame_can_be_changed(change: dict[str, int]) -> None:
    here, there = ends()
    frame = here.seal(64, b"said", sequence=0, ack=0)

    assert there.open(replace(frame, **change)) is None
    assert here.open(frame) is None  # nor be sent back to whom it came from
    assert there.open(frame) == b"said"


def test_a_session_ends_before_a_nonce_comes_again() -> None:
    here, _ = ends()
    here._sent = MOST_FRAMES - 1
    assert here.seal(64, b"", sequence=0, ack=0).counter == MOST_FRAMES
    with pytest.raises(OverflowError, match="2\\*\\*48"):
        here.seal(64, b"", sequence=0, ack=0)
