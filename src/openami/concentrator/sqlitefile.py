# SPDX-License-Identifier: Apache-2.0
"""SQLite files of a concentrator: WAL, synchronous=FULL; a damaged one is set aside, never deleted.

When a transaction has ended, what it wrote survives a power cut.
"""

import logging
import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from openami.runtime.errors import ConfigurationError

log = logging.getLogger(__name__)

BUSY_MS: Final = 10_000


class Layout(NamedTuple):
    """What a file holds."""

    name: str  # journal, registry
    schema: str  # statements that may run again
    version: int  # PRAGMA user_version
    loss: str  # what a damaged file costs, for the sentence in the log


class Opened(NamedTuple):
    """A file that is open."""

    connection: sqlite3.Connection
    set_aside: str  # name under which a damaged one was kept; empty: none was


def open_file(path: Path, layout: Layout) -> Opened:
    """Open a file, or make it; a damaged one is set aside with an error in the log.

    Raises:
        ConfigurationError: The file cannot be opened, or another version wrote it.
    """
    try:
        return Opened(_open(path, layout), "")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            sentence = f"{path} cannot be opened ({error}): permit reading and writing there"
            raise ConfigurationError(sentence) from error
        kept = _set_aside(path)
        log.error(  # noqa: TRY400  the sentence says it all
            "%s is damaged (%s): kept as %s, an empty %s goes on; %s",
            path,
            error,
            kept.name,
            layout.name,
            layout.loss,
        )
        return Opened(_open(path, layout), kept.name)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a file that exists for reading beside its writer.

    Raises:
        ConfigurationError: It is not there or cannot be read.
    """
    try:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            check_same_thread=False,
            isolation_level=None,
        )
    except sqlite3.Error as error:
        sentence = f"{path} cannot be read ({error}): start the concentrator once, or permit it"
        raise ConfigurationError(sentence) from error


def _open(path: Path, layout: Layout) -> sqlite3.Connection:
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        _verify_version(path, layout, found)
        connection.executescript(layout.schema)
        connection.execute(f"PRAGMA user_version = {layout.version}")
        (sound,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        _verify_sound(sound)
    except BaseException:
        connection.close()
        raise
    return connection


def _verify_version(path: Path, layout: Layout, found: int) -> None:
    if found not in (0, layout.version):
        raise ConfigurationError(
            f"{path} has {layout.name} format {found}, this OpenAMI writes {layout.version}: "
            "run the version that wrote it until the journal is empty"
        )


def _verify_sound(said: str) -> None:
    if said != "ok":
        raise sqlite3.DatabaseError(said)


def _set_aside(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.replace(kept)
    for suffix in ("-wal", "-shm"):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.replace(kept.with_name(kept.name + suffix))
    return kept
