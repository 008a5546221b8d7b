# SPDX-License-Identifier: Apache-2.0
"""Intervals for pages: the reading side of the lake behind one small port.

`Readings` is all that pages know of `store.intervals`; tests bind it to columns in memory.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from openami.exchange.channels import Channel
from openami.web.times import Span
from openami.web.usage import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a value, with where it came from."""

    version: int
    value: int
    quality: int
    received_us: int
    message_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """How the message that brought a value travelled."""

    kind: str  # push, profile
    hops: str
    key_epoch: str
    clock_status: str
    octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A group's sum: one column entry an interval, with how many meters are in it."""

    starts_us: list[int]
    values_wh: list[int]
    meters: list[int]


class Readings(Protocol):
    """What pages ask of the lake."""

    def series(self, meter_id: int, channel: Channel, span: Span) -> Series:
        """Return the current versions of a channel."""
        ...

    def load(self, meter_ids: Collection[int], span: Span) -> Load:
        """Return the import of several meters, summed by interval."""
        ...

    def versions(self, meter_id: int, channel: Channel, start_us: int) -> list[Version]:
        """Return every version of one value, oldest first."""
        ...

    def carriage(self, message_id: int) -> Carriage | None:
        """Return how a message travelled, while its octets are kept."""
        ...
