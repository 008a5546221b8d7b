# SPDX-License-Identifier: Apache-2.0
"""Files that survive a power cut: written whole or not at all.

`write_durably` writes a temporary neighbour, fsyncs it, renames it over the old file and fsyncs the
folder, so that a reader (and a restart) sees either the old octets or the new ones.
"""

import contextlib
import json
import os
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from openami.runtime.errors import ConfigurationError, UserError

PRIVATE = 0o600
PUBLIC = 0o644


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, octets: bytes | Iterable[bytes], *, mode: int = PUBLIC) -> None:
    """Replace `path` by `octets`, whole or piece by piece, durable when this returns.

    Raises:
        UserError: The disk is full or the folder cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _made(temporary, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines((octets,) if isinstance(octets, bytes) else octets)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except UserError:  # of who gives the pieces
        temporary.unlink()
        raise
    except OSError as error:
        with contextlib.suppress(OSError):  # the sentence below tells what matters
            temporary.unlink()
        sentence = f"{path} cannot be written ({error.strerror}): free space or permit writing"
        raise UserError(sentence) from error


def _made(temporary: Path, mode: int) -> int:
    """Return a descriptor of a file that is new, whatever somebody else left under its name."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(temporary, flags, mode)
    except FileExistsError:
        temporary.unlink()
        return os.open(temporary, flags, mode)


def write_json(path: Path, value: object, *, mode: int = PUBLIC) -> None:
    """Write `value` as JSON, durably."""
    write_durably(path, json.dumps(value, indent=1).encode() + b"\n", mode=mode)


def read_json(path: Path, remedy: str) -> Any:  # noqa: ANN401  a file may hold anything
    """Read a JSON file.

    Raises:
        ConfigurationError: The file is missing or no JSON; the sentence ends in `remedy`.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid JSON ({error}): {remedy}") from error
    except RecursionError:
        raise ConfigurationError(f"{path} nests too deep for JSON: {remedy}") from None


def read_toml(path: Path, remedy: str) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigurationError: The file is missing or no TOML; the sentence ends in `remedy`.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not valid TOML ({error}): {remedy}") from error
    except RecursionError:
        raise ConfigurationError(f"{path} nests too deep for TOML: {remedy}") from None


def erase(path: Path) -> None:
    """Overwrite a file, and remove it; what another name leads to is not touched.

    Raises:
        UserError: It cannot be written or removed.
    """
    try:
        if not path.is_symlink():
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                found = os.fstat(descriptor)
                if found.st_nlink == 1:
                    file.write(bytes(found.st_size))
                    os.fsync(descriptor)
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path} cannot be erased ({error.strerror}): permit writing") from error
