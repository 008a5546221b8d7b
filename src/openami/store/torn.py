# SPDX-License-Identifier: Apache-2.0
"""What a power cut may leave of the newest commit of a Delta table, and how it is taken back.

`delta` makes each commit durable before it begins the next, so only the newest entry of the log,
or files that it names, can be torn.  An older entry that is not sound is damage and refused:
nothing that was acknowledged is ever thrown away.
"""

import json
import logging
import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import polars as pl

from openami.runtime.errors import UserError
from openami.runtime.files import sync_folder

log = logging.getLogger(__name__)

CHECKED_ENTRIES: Final = 20  # newest log entries looked at when a table is opened for writing
PARQUET_MAGIC: Final = b"PAR1"


def take_back_torn(log_folder: Path) -> None:
    """Take back the newest log entry when a power cut tore it.

    Files that a later entry already removed from the table may be gone; only files still live are
    checked, so the search goes from the newest entry down and ends at a checkpoint.

    Raises:
        UserError: An entry that others build on is not sound, so it was acknowledged.
    """
    hint = log_folder / "_last_checkpoint"
    if hint.exists() and not _is_json(hint.read_bytes()):
        hint.unlink()
    entries = sorted(log_folder.glob("*.json"), reverse=True)[:CHECKED_ENTRIES]
    removed: set[str] = set()
    torn = None
    for entry in entries:
        version = entry.name.removesuffix(".json")
        if any(log_folder.glob(f"{version}.checkpoint*.parquet")):
            break
        octets = entry.read_bytes()
        if not _is_json(*octets.splitlines()) or not octets:
            torn = entry
            continue
        actions = [json.loads(line) for line in octets.splitlines()]
        live = {name: size for name, size in _sizes(octets).items() if name not in removed}
        if any(not _is_whole(log_folder.parent / name, size) for name, size in live.items()):
            torn = entry
        removed.update(
            unquote(action["remove"]["path"]) for action in actions if "remove" in action
        )
    if torn is None:
        return
    newer = entries[: entries.index(torn)]
    if any(_changes_the_table(entry) for entry in newer):
        lake = log_folder.parent.parent
        raise UserError(
            f"{torn} or a file that it names is damaged, and later entries build on it: restore "
            f"{lake} from a backup, or move it away to have it read from the meters again"
        )
    for entry in (*newer, torn):
        aside = entry.with_suffix(".torn")
        log.warning("%s was cut short: it is taken back and kept as %s", entry, aside.name)
        entry.replace(aside)
    sync_folder(log_folder)


def _changes_the_table(entry: Path) -> bool:
    """Tell whether an entry adds or removes files; the two of a vacuum, made together, do not."""
    octets = entry.read_bytes()
    if not _is_json(*octets.splitlines()):
        return False
    actions = [json.loads(line) for line in octets.splitlines()]
    return any("add" in action or "remove" in action for action in actions)


def _is_json(*lines: bytes) -> bool:
    try:
        for line in lines:
            json.loads(line)
    except ValueError:
        return False
    return True


def _is_whole(path: Path, size: int) -> bool:
    """Tell whether a Parquet file has its size, both magics, and columns that can be read."""
    try:
        with path.open("rb") as file:
            head = file.read(len(PARQUET_MAGIC))
            file.seek(-len(PARQUET_MAGIC), os.SEEK_END)
            tail = file.read()
        if (head, tail, path.stat().st_size) != (PARQUET_MAGIC, PARQUET_MAGIC, size):
            return False
        pl.read_parquet(path, hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError):
        return False
    return True


def _sizes(entry: bytes) -> dict[str, int]:
    actions = [json.loads(line) for line in entry.splitlines()]
    adds = [action["add"] for action in actions if "add" in action]
    return {unquote(add["path"]): int(add["size"]) for add in adds}
