# SPDX-License-Identifier: Apache-2.0
"""What firmware a meter runs is told from its hash, or else from the version that it names."""

import pytest

from openami.exchange.campaign import Runs
from openami.exchange.waves import Plan
from openami.headend.firmware import Said
from openami.store.releases import Release

RELEASE = Release.of(
    b"octets", name="m.bin", version="1.1.0+0", digest=b"d" * 32, keyhash=b"k", by="ada"
)


@pytest.mark.parametrize(
    ("shown_as", "said", "runs"),
    [
        ("", "openami 1.1.0+0", Runs.RELEASE),
        ("", "1.0.0+0", Runs.BEFORE),
        ("", "11.1.0+0", Runs.OTHER),
        ("", "2.1.1.0+0", Runs.OTHER),
        ("1.1", "FW1.1", Runs.RELEASE),
        ("1.1", "v1.1-rc", Runs.RELEASE),
        ("1.1", "1.10", Runs.OTHER),
        ("1.1", "1.1.5", Runs.OTHER),
        ("1.1", "0.1.1", Runs.OTHER),
    ],
)
def test_a_longer_number_is_another_version(shown_as: str, said: str, runs: Runs) -> None:
    plan = Plan(shown_as=shown_as)
    assert Said(said, b"").runs(RELEASE, plan, "1.0.0+0") is runs


def test_a_hash_says_more_than_a_version() -> None:
    assert Said("1.1.0+0", b"e" * 32).runs(RELEASE, Plan(), "1.1.0+0") is Runs.BEFORE
    assert Said("any", b"d" * 32).runs(RELEASE, Plan(), "") is Runs.RELEASE
