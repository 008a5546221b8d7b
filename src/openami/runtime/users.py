# SPDX-License-Identifier: Apache-2.0
"""Parts of one device that the system itself keeps apart: each runs as a user of its own.

A part's user is `openami-<part>` where the machine has such an account, else a number of
`FIRST_UID` and upwards that no account needs.  Only root can start processes as others, and only
where they can read the interpreter.  Elsewhere every part runs as who started the device, and
`Users.reduced` says why: it belongs into the attestation and onto the console.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

FIRST_UID: Final = (
    59_301  # the top of what Debian gives to ordinary users, which is filled from below
)
PROBE_S: Final = 60.0


class Part(StrEnum):
    """Who is to be kept apart from whom."""

    METROLOGY = "metrology"
    SECURE = "secure"
    TLS = "tls"
    MANAGEMENT = "management"


@dataclass(frozen=True, slots=True)
class User:
    """Numbers of a user and its group."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Users:
    """The user of each part.

    Attributes:
        of: By part; empty where all are who started them.
        reduced: Why they are not apart, a clause such as "it was not started by root"; empty
            where they are.
    """

    of: Mapping[Part, User] = field(default_factory=dict)
    reduced: str = ""

    def get(self, part: Part) -> User | None:
        """Return the user of a part; None for who started the device."""
        return self.of.get(part)

    def hand_over(self, path: Path, part: Part, mode: int) -> None:
        """Give a file or folder to a part, for it alone or as `mode` says."""
        path.chmod(mode)
        if (user := self.get(part)) is not None:
            os.chown(path, user.uid, user.gid)


def users_here() -> Users:
    """Return the users of this machine; starts one process to see whether they can run."""
    if os.geteuid() != 0:
        return Users(reduced="it was not started by root")
    users = {part: _user(part, FIRST_UID + number) for number, part in enumerate(Part)}
    if len({user.uid for user in users.values()}) < len(users):
        return Users(reduced="two of its parts have the same user")
    for part, user in users.items():
        if not _can_run(user):
            at = f"user {user.uid} ({part}) cannot read {sys.prefix}"
            return Users(reduced=f"{at}: install OpenAMI where every user may read it")
    return Users(of=users)


def _user(part: Part, number: int) -> User:
    try:
        account = pwd.getpwnam(f"openami-{part}")
    except KeyError:
        return User(number, number)
    return User(account.pw_uid, account.pw_gid)


def _can_run(user: User) -> bool:
    try:
        ended = subprocess.run(
            [sys.executable, "-c", "import openami"],
            user=user.uid,
            group=user.gid,
            extra_groups=(),
            cwd="/",
            capture_output=True,
            timeout=PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
