# SPDX-License-Identifier: Apache-2.0
"""Updates over bearers on simulated time: they end, also when every connection breaks."""

import pytest
from bench.updates import BEARERS, Images, chart, table, update_over


@pytest.fixture(scope="module")
def images() -> Images:
    return Images.of_this_package()


@pytest.mark.parametrize("bearer", BEARERS)
def test_an_update_comes_to_its_end_over_each_bearer(bearer: str, images: Images) -> None:
    took_s = update_over(bearer, 3, images)
    assert 0 < took_s < 86_400
    assert update_over(bearer, 3, images) == took_s


@pytest.mark.parametrize("bearer", ["cat-m1", "nb-iot", "plc-prime", "plc-g3"])
def test_an_update_goes_on_when_connections_break(bearer: str, images: Images) -> None:
    whole_s = update_over(bearer, 3, images)
    broken_s = update_over(bearer, 3, images, breaks_s=whole_s / 4)
    # Four or more connections, a pause of a minute after each; had it begun anew each time, it
    # would never have come to its end.
    assert whole_s < broken_s < 12 * whole_s + 900


def test_table_and_chart_show_each_bearer() -> None:
    found = {bearer: [1.0, 10.0, 9_000.0] for bearer in BEARERS}
    assert all(f"| {bearer} | 1.0 s | 10.0 s | 2.5 h |" in table(found) for bearer in BEARERS)
    assert all(f">{bearer}</text>" in chart(found) for bearer in BEARERS)
