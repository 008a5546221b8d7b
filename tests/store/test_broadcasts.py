# SPDX-License-Identifier: Apache-2.0
"""Keys of groups in the store: drawn once, changed as a whole, counters that only rise."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from openami.runtime.errors import UserError
from openami.store import broadcasts, group_changes
from openami.store.broadcast_tables import groups
from openami.store.database import open_database, transaction

NORTH = bytes.fromhex("4F414DC000000001")
SOUTH = bytes.fromhex("4F414DC000000002")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path}/store.db", create=True)


def drawer() -> tuple[list[bytes], "Drawn"]:
    made: list[bytes] = []
    return made, Drawn(made)


class Drawn:
    """Draws what is told apart."""

    def __init__(self, made: list[bytes]) -> None:
        self._made = made

    def __call__(self) -> bytes:
        self._made.append(b"wrapped %d" % len(self._made))
        return self._made[-1]


def test_keys_are_drawn_once_and_for_each_group(engine: Engine) -> None:
    made, fresh = drawer()
    first = broadcasts.group(engine, NORTH, fresh)

    assert broadcasts.group(engine, NORTH, fresh) == first
    assert (first.epoch, first.encryption, first.authentication) == (1, *made)
    assert broadcasts.group(engine, SOUTH, fresh).encryption != first.encryption


def renew(engine: Engine, concentrator: bytes) -> int | None:
    with transaction(engine) as connection:
        return broadcasts.renew_keys(connection, concentrator, b"e", b"a", by="ada", reason="lost")


def test_a_change_is_another_epoch_whose_counters_go_on(engine: Engine) -> None:
    _, fresh = drawer()
    broadcasts.group(engine, NORTH, fresh)
    assert broadcasts.reserve(engine, NORTH, 1, 64) == 1
    assert renew(engine, NORTH) == 2

    with pytest.raises(UserError, match="epoch 1 of the group's keys is over"):
        broadcasts.reserve(engine, NORTH, 1, 64)
    assert broadcasts.reserve(engine, NORTH, 2, 64) == 65
    assert renew(engine, SOUTH) is None


def test_counters_end_before_the_last_that_four_octets_hold(engine: Engine) -> None:
    _, fresh = drawer()
    broadcasts.group(engine, NORTH, fresh)
    with engine.begin() as connection:
        connection.execute(update(groups).values(next=2**32 - 66))

    assert broadcasts.reserve(engine, NORTH, 1, 64) == 2**32 - 66
    with pytest.raises(UserError, match="no counters left"):
        broadcasts.reserve(engine, NORTH, 1, 64)


def holders(engine: Engine) -> int:
    (found,) = group_changes.holdings(engine)
    return found.holders


def test_who_holds_what_is_the_last_that_was_given(engine: Engine) -> None:
    _, fresh = drawer()
    group = broadcasts.group(engine, NORTH, fresh)
    broadcasts.note_member(engine, 7, NORTH, 1)
    assert broadcasts.holds(engine, 7, group)
    assert holders(engine) == 1

    broadcasts.note_member(engine, 7, NORTH, 0)  # put out
    assert not broadcasts.holds(engine, 7, group)
    broadcasts.note_member(engine, 7, SOUTH, 1)  # moved
    assert holders(engine) == 0


def test_keys_are_wrapped_anew_where_that_is_needed(engine: Engine) -> None:
    _, fresh = drawer()
    broadcasts.group(engine, NORTH, fresh)

    def renew(held: bytes) -> bytes | None:
        return None if held == b"wrapped 0" else b"anew"

    assert broadcasts.rewrap(engine, renew) == 1
    (group,) = broadcasts.known_groups(engine)
    assert (group.encryption, group.authentication) == (b"wrapped 0", b"anew")
