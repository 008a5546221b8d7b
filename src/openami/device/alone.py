# SPDX-License-Identifier: Apache-2.0
"""One at a time in a folder: of those who make a factory's first image, or write one flash."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(folder: Path, *, waits: bool = True) -> Iterator[None]:
    """Wait until no other process is alone in `folder`, and be so until the end.

    Raises:
        BlockingIOError: Another one is, and this one does not wait.
    """
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        yield
