# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from openami.store import inbox
from openami.store.accepted import Origin
from openami.store.database import transaction
from openami.store.inbox import Message, Rejected

TITLE = b"OAM\x00\x00\x00\x00\x01"


def message(meter_id: int = 1, rows: bytes = b"\x01\x00") -> Message:
    return Message(
        meter_id=meter_id,
        kind=inbox.PUSH,
        received_us=5,
        epoch=1,
        hops="north",
        octets=b"\xdd\x01",
        rows=rows,
    )


def test_a_known_origin_is_skipped_in_any_order(engine: Engine) -> None:
    first, second, third = (Origin(TITLE, 1, n) for n in (30, 10, 20))

    assert inbox.put(engine, [(message(), first), (message(), second)]) == [True, True]
    assert inbox.put(engine, [(message(), second), (message(), third), (message(), third)]) == [
        False,
        True,
        False,
    ]
    assert inbox.depth(engine) == 3


def test_without_an_origin_every_message_is_stored(engine: Engine) -> None:
    assert inbox.put(engine, [(message(), None), (message(), None)]) == [True, True]
    assert inbox.depth(engine) == 2
    assert inbox.put(engine, []) == []


def test_a_claim_cut_short_comes_again_whole(engine: Engine) -> None:
    inbox.put(engine, [(message(n), None) for n in range(5)])

    batch = inbox.claim(engine, 3)
    assert [found.meter_id for found in batch.messages] == [0, 1, 2]
    assert batch.messages[0] == Message(
        **{**{n: getattr(message(0), n) for n in Message.__slots__}, "message_id": 1}
    )
    assert inbox.claim(engine, 100) == batch

    inbox.finish(engine, batch.batch_id)
    after = inbox.claim(engine, 100)
    assert after.batch_id > batch.batch_id
    assert [found.meter_id for found in after.messages] == [3, 4]
    inbox.finish(engine, after.batch_id)
    assert inbox.claim(engine, 100) == (0, [])
    assert inbox.depth(engine) == 0


def test_numbers_of_messages_and_batches_are_never_given_twice(engine: Engine) -> None:
    inbox.put(engine, [(message(), None)])
    inbox.number_batches_beyond(engine, 41)
    batch = inbox.claim(engine, 1)
    inbox.finish(engine, batch.batch_id)
    inbox.number_batches_beyond(engine, 3)
    inbox.put(engine, [(message(), None)])
    after = inbox.claim(engine, 1)

    assert (batch.batch_id, after.batch_id) == (42, 43)
    assert after.messages[0].message_id == batch.messages[0].message_id + 1


def test_rejected_messages_are_kept_with_their_reason(engine: Engine) -> None:
    bad = Rejected(
        title=TITLE, concentrator=None, received_us=9, reason="tag does not verify", octets=b"x"
    )

    inbox.reject(engine, [bad])

    found = inbox.rejections(engine)
    assert [(each.reason, each.octets, each.rejected_id) for each in found] == [
        ("tag does not verify", b"x", 1)
    ]
    assert inbox.count_rejected(engine) == 1
    assert inbox.count_rejected(engine, since_us=10) == 0


@pytest.mark.parametrize("backend", ["postgresql"])  # SQLite has one writer
def test_a_slow_transaction_with_lower_numbers_loses_nothing(engine: Engine) -> None:
    """Numbers become visible in any order; the drain goes by what no batch has."""
    with transaction(engine) as slow:
        inbox.put(slow, [(message(1), None)])
        inbox.put(engine, [(message(2), None)])
        first = inbox.claim(engine, 10)
        assert [found.meter_id for found in first.messages] == [2]
        inbox.finish(engine, first.batch_id)
        assert inbox.last_finished(engine) == first.batch_id
        assert inbox.claim(engine, 10) == (0, [])
    late = inbox.claim(engine, 10)
    assert [found.meter_id for found in late.messages] == [1]
    assert late.messages[0].message_id < first.messages[0].message_id


def test_many_that_write_and_drain_at_once_lose_and_double_nothing(engine: Engine) -> None:
    writers, each = 4, 25

    def write(writer: int) -> None:
        for n in range(each):
            with transaction(engine) as connection:
                inbox.put(connection, [(message(writer * each + n), None)])
                inbox.put(connection, [(message(1000 + writer * each + n), None)])

    drained: list[int] = []
    with ThreadPoolExecutor(writers) as pool:
        works = [pool.submit(write, writer) for writer in range(writers)]
        while not all(work.done() for work in works) or inbox.depth(engine):
            batch = inbox.claim(engine, 7)
            drained += [found.meter_id for found in batch.messages]
            inbox.finish(engine, batch.batch_id)
        for work in works:
            work.result()
    wanted = range(writers * each)
    assert sorted(drained) == [*wanted, *(1000 + n for n in wanted)]


def test_two_drainers_that_look_at_once_get_the_same_batch_or_different_ones(
    engine: Engine,
) -> None:
    inbox.put(engine, [(message(n), None) for n in range(20)])
    with ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(lambda _: inbox.claim(engine, 5), range(4)))
    assert len({batch.batch_id for batch in batches}) == 1
    assert len({tuple(found.message_id for found in each.messages) for each in batches}) == 1
