# SPDX-License-Identifier: Apache-2.0
"""Each part of a device as a user of its own, and plain words where that cannot be."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from openami.runtime import users
from openami.runtime.supervisor import Program, Supervisor
from openami.runtime.users import Part, User, Users, users_here

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes as others")


@needs_root
def test_as_root_each_part_has_a_user_of_its_own() -> None:
    here = users_here()

    assert here.reduced == ""
    assert len({user.uid for user in here.of.values()}) == len(Part)
    assert all(user.uid != 0 for user in here.of.values())


def test_who_is_not_root_is_told_why_parts_are_not_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert users_here() == Users(reduced="it was not started by root")


@needs_root
def test_an_interpreter_that_others_cannot_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users.sys, "executable", "/root/.nowhere/python3")

    here = users_here()

    assert not here.of
    assert f"cannot read {sys.prefix}: install OpenAMI where every user may read it" in here.reduced


@needs_root
def test_a_program_runs_as_its_user_and_in_no_other_group(tmp_path: Path) -> None:
    code = "import os; print(os.getuid(), os.getgid(), os.getgroups(), flush=True); os.abort()"
    stranger = Program("stranger", [sys.executable, "-c", code], user=User(59_399, 59_398))

    async def run() -> None:
        supervisor = Supervisor([stranger], tmp_path)
        supervisor.start()
        async with asyncio.timeout(20):
            while not supervisor.children[0].last_words:  # noqa: ASYNC110  another process writes
                await asyncio.sleep(0.02)
        await supervisor.stop()

    asyncio.run(run())

    assert (tmp_path / "stranger.log").read_text().startswith("59399 59398 []")


@needs_root
def test_a_file_is_handed_over_to_its_part(tmp_path: Path) -> None:
    file = tmp_path / "otp.bin"
    file.touch()

    Users(of={Part.SECURE: User(59_399, 59_398)}).hand_over(file, Part.SECURE, 0o600)

    found = file.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (59_399, 59_398, 0o600)
