# SPDX-License-Identifier: Apache-2.0
"""A head-end draws groups' keys that were asked for while it was away, once it can."""

from pathlib import Path

from loops import in_loop
from openami.headend.books import Books
from openami.headend.config import WorklistSettings
from openami.headend.group_keys import GroupKeyChanges
from openami.runtime.errors import UserError
from openami.store import broadcasts, group_changes
from openami.store.database import open_database
from openami.store.group_changes import ChangeState

NORTH = bytes.fromhex("4F414DC000000001")


class Token:
    """A keystore that is not always there."""

    away = True

    def wrap(self, key: bytes) -> bytes:
        if self.away:
            raise UserError("the token is away: plug it in")
        return key

    unwrap = wrap


@in_loop
async def test_an_ask_waits_for_the_keystore_says_so_and_comes_about(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/store.db", create=True)
    broadcasts.group(engine, NORTH, lambda: b"first")
    rotation, _ = group_changes.ask(engine, [NORTH], asked_by="ada", reason="stolen")
    books, token = Books(engine), Token()
    work = GroupKeyChanges(WorklistSettings(retry_most_s=0.0), books, token)
    try:
        await work.look()
        (waits,) = group_changes.changes(engine, rotation)
        assert (waits.state, waits.note) == (ChangeState.OPEN, "the token is away: plug it in")
        token.away = False
        await work.look()
    finally:
        await books.stop()
    (done,) = group_changes.changes(engine, rotation)
    assert (done.state, done.epoch, done.note, work.changed) == (ChangeState.CHANGED, 2, "", 1)
    (group,) = broadcasts.known_groups(engine)
    assert group.encryption != group.authentication
    assert len(group.encryption) == 16
    engine.dispose()
