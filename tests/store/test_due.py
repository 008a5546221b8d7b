# SPDX-License-Identifier: Apache-2.0
from sqlalchemy import Engine

from openami.store import due
from openami.store.due import DueDay


def test_days_wait_for_their_time_and_the_earlier_wish_counts(engine: Engine) -> None:
    one, two = DueDay(1, 10), DueDay(2, 9)
    due.put_due(engine, [one, two], 100)
    due.put_due(engine, [one], 50)
    due.put_due(engine, [two], 200)
    due.put_due(engine, [], 0)

    assert due.due_days(engine, 49) == []
    assert due.due_days(engine, 50) == [one]
    assert due.due_days(engine, 100) == [two, one]
    assert due.due_days(engine, 100, limit=1) == [two]
    due.done_due(engine, [one])
    due.done_due(engine, [])
    assert due.count_due(engine) == 1
