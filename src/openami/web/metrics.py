# SPDX-License-Identifier: Apache-2.0
"""Figures of every process on this machine in Prometheus' format.

Each process says its figures once a second (`runtime.status`); this turns the last words of all of
them into gauges, so one address is enough for a machine.  Text is left out: `openami_up` says which
processes speak, and the pages say the rest.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from openami.runtime.status import Status

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
_ODD: Final = re.compile(r"[^a-z0-9]+")


def exposition(statuses: Iterable[Status]) -> bytes:
    """Return the figures of processes."""
    registry = CollectorRegistry()
    registry.register(_Statuses(list(statuses)))
    return generate_latest(registry)


class _Statuses(Collector):
    def __init__(self, statuses: list[Status]) -> None:
        self._statuses = statuses

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "openami_up", "1 while the process has told its figures lately.", labels=["process"]
        )
        age = GaugeMetricFamily(
            "openami_status_age_seconds", "Since the process told its figures.", labels=["process"]
        )
        found: dict[str, GaugeMetricFamily] = {}
        told: set[tuple[str, str]] = set()  # Prometheus refuses a page with one of them twice
        for status in self._statuses:
            up.add_metric([status.process], float(status.fresh))
            age.add_metric([status.process], status.age_s)
            for figure, value in status.figures.items():
                name = f"openami_{_ODD.sub('_', figure.lower()).strip('_')}"
                if isinstance(value, str) or (name, status.process) in told:
                    continue
                told.add((name, status.process))
                family = found.setdefault(
                    name,
                    GaugeMetricFamily(
                        name, f"{figure}, as the process says it.", labels=["process"]
                    ),
                )
                family.add_metric([status.process], float(value))
        yield up
        yield age
        yield from found.values()
