# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor

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

    with pytest.raises(UserError, match="change its keys"):
        counters.skip_to(engine, 1, 1, 2**32 + 1)
    assert counters.reserve_many(engine, {(1, 1): 1, (2, 1): 7}) == {(1, 1): None, (2, 1): 1}


def test_workers_that_reserve_at_once_never_share_a_number(engine: Engine) -> None:
    def work(number: int) -> list[tuple[int, int]]:
        mine: list[tuple[int, int]] = []
        for turn in range(15):
            sizes = {(meter_id, 1): 1 + (number + turn) % 5 for meter_id in (1, 2)}
            given = counters.reserve_many(engine, sizes)
            for (meter_id, epoch), first in given.items():
                assert first is not None
                mine += [(meter_id, first + n) for n in range(sizes[meter_id, epoch])]
        return mine

    with ThreadPoolExecutor(3) as pool:
        given = [each for share in pool.map(work, range(3)) for each in share]
    for meter_id in (1, 2):
        found = sorted(counter for owner, counter in given if owner == meter_id)
        assert found == list(range(counters.FIRST, counters.FIRST + len(found)))
