# SPDX-License-Identifier: Apache-2.0
"""The store of a head-end, for commands that look at it or write what is wanted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from sqlalchemy import Engine

from openami.headend.config import HeadEndConfig
from openami.store.database import open_database

HOME_OPTION: Final = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/headend"),
    show_default=True,
    help="Folder of the head-end.",
)


@contextmanager
def opened(home: Path) -> Iterator[Engine]:
    """Open the store that `config.toml` in `home` names."""
    engine = open_database(HeadEndConfig.load(home.resolve()).database)
    try:
        yield engine
    finally:
        engine.dispose()
