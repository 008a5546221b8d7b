# SPDX-License-Identifier: Apache-2.0
"""The store of a head-end, for commands that look at it or write what is wanted."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from sqlalchemy import Engine

from openami.headend.config import HeadEndConfig
from openami.runtime.errors import UserError
from openami.store import registry
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


def group_of(engine: Engine, regions: Sequence[str], meter_ids: Sequence[int]) -> list[int]:
    """Return the meters that are meant; nothing named means all."""
    for meter_id in meter_ids:
        registry.meter(engine, meter_id)
    if meter_ids:
        return sorted(set(meter_ids))
    found: list[int] = []
    for region in regions or (None,):
        these = [meter.meter_id for meter in registry.meters(engine, region=region)]
        if not these:
            there = sorted({meter.region for meter in registry.meters(engine)})
            sentence = f"no meter is in region {region!r}: there are {', '.join(there) or 'none'}"
            raise UserError(sentence)
        found += these
    return found


def time_text(at_us: int) -> str:
    """Return a moment of real time."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).isoformat(timespec="seconds")
