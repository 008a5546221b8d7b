# SPDX-License-Identifier: Apache-2.0
import pytest
from sqlalchemy import Engine

from openami.runtime.errors import UserError
from openami.store import counters
from openami.store.database import open_database


def test_blocks_follow_each_other_for_each_meter_and_epoch(engine: Engine, url: str) -> None:
    assert counters.reserve(engine, 1, 1, 100) == 1
    assert counters.reserve(engine, 1, 1, 10) == 101
    assert counters.reserve(engine, 1, 2, 10) == 1
    assert counters.reserve(engine, 2, 1, 10) == 1

    again = open_database(url)
    assert counters.reserve(again, 1, 1, 1) == 111
    again.dispose()


def test_skipping_forward_never_goes_back(engine: Engine) -> None:
    counters.skip_to(engine, 1, 1, 500)
    counters.skip_to(engine, 1, 1, 20)

    assert counters.next_counter(engine, 1, 1) == 500
    assert counters.reserve(engine, 1, 1, 3) == 500
    assert counters.next_counter(engine, 9, 9) == counters.FIRST


def test_an_exhausted_key_is_refused_and_nothing_reserved(engine: Engine) -> None:
    counters.skip_to(engine, 1, 1, 2**32 - 5)
    assert counters.reserve(engine, 1, 1, 5) == 2**32 - 5

    with pytest.raises(UserError, match="meter 1: key epoch 1 has no 1 invocation counters left"):
        counters.reserve(engine, 1, 1, 1)
