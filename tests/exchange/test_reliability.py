# SPDX-License-Identifier: Apache-2.0
"""SAIDI, SAIFI, CAIDI by hand."""

from openami.exchange.reliability import Span, indices

MIN = 60_000_000


def test_by_hand() -> None:
    spans = [
        Span(1, 0, 60 * MIN),
        Span(2, 0, 30 * MIN),
        Span(1, 100 * MIN, 105 * MIN),  # five minutes are momentary, and one second more is not
        Span(3, 100 * MIN, 105 * MIN + 1_000_000),
        Span(4, 190 * MIN, None),  # not over: ten minutes so far
    ]
    found = indices(spans, 10, 200 * MIN)
    assert (found.sustained, found.momentary) == (4, 1)
    assert found.minutes == 60 + 30 + 5 + 1 / 60 + 10
    assert found.saifi == 0.4
    assert found.saidi_min == found.minutes / 10
    assert found.caidi_min == found.minutes / 4


def test_without_customers_or_interruptions() -> None:
    nobody = indices([], 0, 5)
    assert (nobody.saifi, nobody.saidi_min, nobody.caidi_min) == (None, None, None)
    calm = indices([], 7, 5)
    assert (calm.saifi, calm.saidi_min, calm.caidi_min) == (0.0, 0.0, None)
