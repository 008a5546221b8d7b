# SPDX-License-Identifier: Apache-2.0
"""What the head-end makes of the clocks of concentrators' hosts."""

import logging

import pytest

from openami.exchange.field import ClockState
from openami.headend.uplink_time import UplinkTime

HOUR_US = 3_600_000_000


def clock(offset_us: int | None, *, kept: bool | None = None) -> ClockState:
    return ClockState(
        offset_us=offset_us,
        uncertainty_us=None if offset_us is None else 1000,
        limit_us=5_000_000,
        past_limit=offset_us is not None and abs(offset_us) > 5_000_000,
        kept=kept,
    )


def test_only_who_is_connected_counts_and_what_is_not_known_is_not_said() -> None:
    connected = {b"one", b"two"}
    time = UplinkTime(connected.__contains__)
    assert "most concentrator clock offset seconds" not in time.figures()
    time.said(b"one", clock(None))
    time.said(b"two", clock(-2 * HOUR_US))
    figures = time.figures()
    assert figures["concentrator clocks known"] == 1
    assert figures["concentrator clocks past limit"] == 1
    assert figures["most concentrator clock offset seconds"] == -7200.0
    connected.remove(b"two")
    assert time.figures()["concentrator clocks past limit"] == 0


def test_where_they_agree_against_it_its_own_clock_is_suspect_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    time = UplinkTime(lambda _title: True)
    for number, offset_us in enumerate((HOUR_US, HOUR_US + 1, HOUR_US - 1)):
        time.said(bytes((number,)), clock(offset_us))
    assert time.figures()["own clock suspect"] == 1
    assert caplog.text.count("keep it with a time daemon") == 1
    for number in range(3):
        time.said(bytes((number,)), clock(0))
    assert time.figures()["own clock suspect"] == 0
