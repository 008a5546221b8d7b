# SPDX-License-Identifier: Apache-2.0
"""Files that `openami up` writes and people may edit: an edited one is never written again.

Below its heading such a file says the digest of what was written.  Where it still fits, nobody has
touched the file and a change of the plan goes into it; where it does not, the file stays as it is,
and what it says otherwise than the plan is told.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import write_durably

HEADING: Final = (
    "# SPDX-License-Identifier: Apache-2.0\n"
    "# Written by `openami up` from plan.json; edit it, and it stays as you leave it.\n"
    "# docs/provisioning.md explains the keys.\n"
)
OLDER: Final = b"written again at each start"
"""What the heading of earlier versions promised."""
MARK: Final = "# as written: "


def marked(body: bytes) -> bytes:
    """Return a file: heading, digest of the body, body."""
    return f"{HEADING}{MARK}{_digest(body)}\n".encode() + body


def is_edited(octets: bytes) -> bool:
    """Tell whether somebody has edited a file since it was written."""
    head, mark, rest = octets.partition(MARK.encode())
    digest, _, body = rest.partition(b"\n")
    if not mark:
        return OLDER not in head
    return digest.decode(errors="replace") != _digest(body)


def write_unless_edited(path: Path, body: bytes) -> list[str]:
    """Write a TOML file, unless it was edited; say in which keys an edited one differs.

    Raises:
        ConfigurationError: The edited file is no TOML.
    """
    wanted = marked(body)
    if not path.exists():
        write_durably(path, wanted)
        return []
    found = path.read_bytes()
    if not is_edited(found):
        if found != wanted:
            write_durably(path, wanted)
        return []
    try:
        says = tomllib.loads(found.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        remedy = "correct it, or remove it to have it written again"
        raise ConfigurationError(f"{path} is not valid TOML ({error}): {remedy}") from error
    return [
        f"{path} was edited and says {there}: it is kept; the plan says {planned}"
        for there, planned in _differences(says, tomllib.loads(body.decode()))
    ]


def _differences(
    says: Mapping[str, Any], planned: Mapping[str, Mapping[str, Any]]
) -> list[tuple[str, str]]:
    """Return keys whose values differ, as they stand here and there; further keys are no matter."""
    found = []
    for table, rows in planned.items():
        own = says.get(table, {})
        for key, value in rows.items():
            there = own.get(key) if isinstance(own, dict) else None
            if there != value:
                found.append((f"[{table}] {key} = {there!r}", repr(value)))
    return found


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
