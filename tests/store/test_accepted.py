# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

from openami.store.accepted import PAGE_COUNTERS, Origin, is_accepted, remember
from openami.store.database import open_database, reading, transaction
from openami.store.tables import accepted_pages

TITLE = b"OAM\x00\x00\x00\x00\x01"
LAST = 2**32 - 1
ORIGINS = st.builds(
    Origin,
    st.sampled_from([TITLE, TITLE[:7] + b"\x02"]),
    st.integers(1, 2),
    st.one_of(st.integers(0, 1100), st.integers(LAST - 3, LAST)),
)


def pages(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(accepted_pages)).scalar_one()


def test_each_is_new_once_in_any_order(engine: Engine) -> None:
    counters = [30, 10, 20, 511, 512, LAST]
    for counter in counters:
        with transaction(engine) as connection:
            wanted = {Origin(TITLE, 1, counter), Origin(TITLE, 1, 30)}
            assert remember(connection, wanted) == wanted - {Origin(TITLE, 1, 30)} or counter == 30
    assert all(is_accepted(engine, Origin(TITLE, 1, counter)) for counter in counters)
    assert not is_accepted(engine, Origin(TITLE, 1, 21))
    assert not is_accepted(engine, Origin(TITLE, 2, 20))
    assert pages(engine) == 3
    with transaction(engine) as connection:
        assert remember(connection, []) == set()


@settings(max_examples=30)  # each makes a database
@given(st.lists(st.sets(ORIGINS, max_size=20), max_size=6))
def test_it_is_a_set(groups: list[set[Origin]]) -> None:
    engine, known = open_database("sqlite://", create=True), set[Origin]()
    for group in groups:
        with transaction(engine) as connection:
            assert remember(connection, group) == group - known
        known |= group
    assert all(is_accepted(engine, origin) for origin in known)
    engine.dispose()


def test_what_was_not_committed_was_not_accepted(engine: Engine) -> None:
    origin = Origin(TITLE, 1, 5)
    with engine.connect() as connection:
        assert remember(connection, [origin]) == {origin}
        connection.rollback()
    assert not is_accepted(engine, origin)


def test_of_workers_at_once_one_finds_it_new(engine: Engine) -> None:
    """Eight bring the same notifications, each in an order of its own, in groups that overlap."""
    counters = range(3 * PAGE_COUNTERS)

    def bring(worker: int) -> int:
        found = 0
        for at in range(0, len(counters), 100):
            group = [counters[(at + n + worker * 37) % len(counters)] for n in range(200)]
            with transaction(engine) as connection:
                found += len(remember(connection, {Origin(TITLE, 1, counter) for counter in group}))
        return found

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(bring, range(8))) == len(counters)
