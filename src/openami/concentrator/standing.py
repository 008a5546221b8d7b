# SPDX-License-Identifier: Apache-2.0
"""How a concentrator stands, read from its files beside it: it may run or not."""

import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.registry import read_links, read_notices
from openami.concentrator.sqlitefile import open_reader
from openami.exchange.field import LinkState, Notice, notice_text
from openami.runtime.errors import ConfigurationError
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, read_statuses

NEWEST_NOTICES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the files say."""

    name: str
    quota: int
    most_octets: int
    octets: int
    waiting: dict[bytes, int]  # entries in the journal, by meter
    meters: list[LinkState]
    notices: list[Notice]  # the newest, oldest first
    untold: frozenset[int]  # numbers of notices that the head-end has not confirmed
    figures: Figures  # of the running process; empty when it does not run

    @property
    def entries(self) -> int:
        return sum(self.waiting.values())

    @property
    def most_of_one(self) -> int:
        """How many entries wait of the meter that has most."""
        return max(self.waiting.values(), default=0)

    def is_attached(self, meter: LinkState) -> bool:
        """Tell whether a meter is there; without the process nobody is."""
        return bool(self.figures) and meter.attached

    def as_json(self) -> dict[str, Any]:
        """Return it for machines: titles in hex, times in ISO 8601."""
        return {
            "name": self.name,
            "runs": bool(self.figures),
            "figures": self.figures,
            "journal": {
                "entries": self.entries,
                "octets": self.octets,
                "most_octets": self.most_octets,
                "quota_per_meter": self.quota,
                "most_of_one_meter": self.most_of_one,
            },
            "meters": [
                _plain(asdict(meter))
                | {
                    "attached": self.is_attached(meter),
                    "waiting": self.waiting.get(meter.title, 0),
                    "loss": meter.loss,
                }
                for meter in self.meters
            ],
            "notices": [
                _plain(asdict(notice))
                | {"means": notice_text(notice.code), "told": notice.number not in self.untold}
                for notice in self.notices
            ],
        }


def stand(config: ConcentratorConfig) -> Standing:
    """Read a concentrator's files.

    Raises:
        ConfigurationError: One of them is not there or cannot be read.
    """
    try:
        with closing(open_reader(config.journal)) as journal:
            rows = journal.execute(
                "SELECT title, count(*), sum(length(octets)) FROM entries GROUP BY title"
            ).fetchall()
        with closing(open_reader(config.registry)) as registry:
            meters = read_links(registry)
            notices = read_notices(registry, newest=NEWEST_NOTICES)
            untold = frozenset(notice.number for notice in read_notices(registry, told=False))
    except sqlite3.Error as error:
        sentence = f"the files of concentrator {config.name} cannot be read ({error})"
        remedy = "start it once, which sets a damaged file aside"
        raise ConfigurationError(f"{sentence}: {remedy}") from error
    return Standing(
        name=config.name,
        quota=config.quota_per_meter,
        most_octets=config.most_octets,
        octets=sum(octets for _, _, octets in rows),
        waiting={title: count for title, count, _ in rows},
        meters=meters,
        notices=notices,
        untold=untold,
        figures=_figures(config),
    )


def _figures(config: ConcentratorConfig) -> Figures:
    for status in read_statuses(Layout(config.home.parent.parent).run):
        if status.process == f"concentrator-{config.name}" and status.fresh:
            return status.figures
    return {}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for name, value in row.items():
        match value:
            case bytes():
                plain[name] = value.hex().upper()
            case datetime():
                plain[name] = value.isoformat()
            case _:
                plain[name] = value
    return plain
