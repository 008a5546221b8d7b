# SPDX-License-Identifier: Apache-2.0
"""A copy of what a utility cannot lose, taken while everything runs, and put back.

==============  ==================================================================
part of `var`   in the copy
==============  ==================================================================
``openami.db``  SQLite's own snapshot, first of all
``lake``        each table at one version, after the database
``ca`` … files  as they are: authority, head-end's keystore, configurations, plan
``meters`` …    not: devices keep their own state, and must not be wound back
==============  ==================================================================

The order is what makes the copy whole.  The intake deletes a message only when the lake has its
rows: a lake younger than the database knows batches that the database still holds, and these are
recognised; the other way round rows would be lost.  What came after the copy is read from the
meters again.  The copy is a tar file, its last member the list of all others with their SHA-256.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

import polars as pl
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from openami.runtime.errors import ExitCode, UserError
from openami.runtime.files import PRIVATE, sync_folder

FORMAT: Final = "openami-backup-1"
LIST: Final = "contents.json"
DATABASE: Final = "openami.db"
LAKE: Final = "lake"
LOG: Final = "_delta_log"
DEVICES: Final = frozenset({"meters", "fleet", "concentrators"})
PASSING: Final = frozenset({"run"})
"""Of the running processes: nothing to put back."""
CHUNK_OCTETS: Final = 1 << 20
_VERSION: Final = re.compile(r"([0-9]{20})\.")

Told = Callable[[str, int], None]


@dataclass(slots=True)
class _Archive:
    """A tar file being written."""

    tar: tarfile.TarFile
    told: Told
    digests: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, path: Path) -> None:
        """Add a file as it is now, whatever is appended to it meanwhile."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            entry = tarfile.TarInfo(name)
            entry.size = size
            entry.mode = path.stat().st_mode & 0o777
            entry.mtime = int(path.stat().st_mtime)
            reading = _Hashing(file)
            self.tar.addfile(entry, reading)
        self.digests[name] = reading.hash.hexdigest()
        self.told(name, size)

    def end(self) -> None:
        octets = json.dumps({"format": FORMAT, "sha256": self.digests}, indent=1).encode()
        entry = tarfile.TarInfo(LIST)
        entry.size, entry.mode = len(octets), PRIVATE
        self.tar.addfile(entry, io.BytesIO(octets))


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        octets = self._file.read(size)
        self.hash.update(octets)
        return octets


def back_up(var: Path, target: Path, told: Told = lambda _name, _octets: None) -> int:
    """Write a copy of `var` to `target`; return its octets.

    Raises:
        UserError: There is nothing to copy, the target exists or cannot be written, or a part
            is damaged.
    """
    if not (var / DATABASE).is_file():
        sentence = f"{var} holds no {DATABASE}: give the folder of an AMI. A PostgreSQL server's"
        raise UserError(f"{sentence} data is for its own tools", ExitCode.ASKED_WRONGLY)
    if target.exists():
        sentence = f"{target} is there already, and no copy is overwritten: give another name"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    begun = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                _write(var, _Archive(tar, told))
            file.flush()
            os.fsync(file.fileno())
        begun.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        place = error.filename or target
        sentence = f"{place}: {error.strerror}: free space, or permit reading and writing"
        raise UserError(f"no copy was made of {var}; {sentence}") from error
    finally:
        begun.unlink(missing_ok=True)
    return target.stat().st_size


def verify(copy: Path) -> Mapping[str, str]:
    """Return what a copy holds, each with its SHA-256, when every octet is as it was written.

    Raises:
        UserError: It is no copy, or damaged.
    """
    listed: dict[str, str] = {}
    found: dict[str, str] = {}
    with _opened(copy) as tar:
        for entry in tar:
            if entry.name == LIST:
                listed = _listed(copy, tar, entry)
            else:
                found[entry.name] = _digest(tar, entry)
    if not listed:
        raise UserError(f"{copy} has no list of its contents: it was cut off; take another copy")
    for name in sorted(listed.keys() | found.keys()):
        if listed.get(name) != found.get(name):
            raise UserError(f"{copy}: {name} is not as it was written: take another copy")
    return listed


def restore(copy: Path, var: Path, told: Told = lambda _name, _octets: None) -> tuple[str, ...]:
    """Put a copy back below `var`; return its parts.  Nothing is overwritten.

    Raises:
        UserError: The copy is damaged, or a part is there already; then nothing was changed.
    """
    names = verify(copy)
    parts = tuple(sorted({name.split("/", 1)[0] for name in names}))
    taken = [part for part in parts if (var / part).exists()]
    if taken:
        sentence = f"{var} has {', '.join(taken)} already: stop the AMI and move them away first"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    try:
        var.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".restoring-", dir=var) as folder, _opened(copy) as tar:
            for entry in tar:
                if entry.name != LIST:
                    _extract(tar, entry, Path(folder) / entry.name)
                    told(entry.name, entry.size)
            _synchronise(Path(folder))
            for part in parts:
                (Path(folder) / part).rename(var / part)
            sync_folder(var)
    except OSError as error:
        place = error.filename or var
        sentence = f"{place}: {error.strerror}: free space, or permit writing; then do it again"
        raise UserError(f"{copy} was not put back; {sentence}") from error
    return parts


def _write(var: Path, archive: _Archive) -> None:
    with TemporaryDirectory(prefix=".backup-", dir=var) as folder:
        snapshot = Path(folder) / DATABASE
        _snapshot(var / DATABASE, snapshot)
        archive.add(DATABASE, snapshot)
    for name, path in _lake(var / LAKE):
        archive.add(f"{LAKE}/{name}", path)
    for path in sorted(var.rglob("*")):
        part = path.relative_to(var).parts[0]
        kept = part not in DEVICES | PASSING | {LAKE} and not part.startswith((DATABASE, "."))
        if kept and path.is_file():
            archive.add(str(path.relative_to(var)), path)
    archive.end()


def _snapshot(database: Path, target: Path) -> None:
    try:
        with (
            contextlib.closing(
                sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
            ) as source,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
            (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise UserError(
            f"{database} cannot be copied ({error}): free space, or repair it"
        ) from None
    if found != "ok":
        raise UserError(f"{database} is damaged ({found}): restore an older copy")


def _lake(lake: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of each table at its newest version, names below the lake."""
    tables: list[tuple[Path, DeltaTable]] = []
    for log in sorted(lake.glob(f"*/{LOG}"), reverse=True):
        # What intake writes last is opened first: no table is ahead of those before it.
        with contextlib.suppress(TableNotFoundError):
            tables.append((log, DeltaTable(log.parent)))
    for log, table in tables:
        folder = log.parent
        version = table.version()
        for path in sorted(log.iterdir()):
            match = _VERSION.match(path.name)
            if match is not None and int(match[1]) <= version:
                yield f"{folder.name}/{LOG}/{path.name}", path
        actions = pl.DataFrame(table.get_add_actions(flatten=True))
        for name in actions["path"].sort():
            yield f"{folder.name}/{name}", folder / name


@contextlib.contextmanager
def _opened(copy: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(copy, mode="r:") as tar:
            yield tar
    except FileNotFoundError:
        raise UserError(f"there is no {copy}: give a copy", ExitCode.ASKED_WRONGLY) from None
    except tarfile.TarError as error:
        raise UserError(f"{copy} is no copy, or cut off ({error}): take another one") from None


def _listed(copy: Path, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> dict[str, str]:
    file = tar.extractfile(entry)
    try:
        said = json.loads(b"" if file is None else file.read())
        digests = {str(name): str(digest) for name, digest in said["sha256"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{copy}: {LIST} cannot be read: take another copy") from None
    if said.get("format") != FORMAT:
        raise UserError(
            f"{copy} has the format {said.get('format')!r}, this OpenAMI reads {FORMAT}"
        )
    return digests


def _digest(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> str:
    file = tar.extractfile(entry) if entry.isfile() else None
    if file is None:
        raise UserError(f"{entry.name} is no file: this copy was not made by OpenAMI")
    if Path(entry.name).is_absolute() or ".." in Path(entry.name).parts:
        raise UserError(f"{entry.name} leads out of its folder: this copy was not made by OpenAMI")
    reading = _Hashing(file)
    while reading.read(CHUNK_OCTETS):
        pass
    return reading.hash.hexdigest()


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, path: Path) -> None:
    # tarfile's own filters came with Python 3.11.4; plain files below the folder are all there is.
    file = tar.extractfile(entry)
    if file is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, entry.mode & 0o777)
    with os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(file, target, CHUNK_OCTETS)


def _synchronise(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
