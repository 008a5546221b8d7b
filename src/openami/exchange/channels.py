# SPDX-License-Identifier: Apache-2.0
"""Channels: what a value in the store measures.

One table; the numbers are part of the stored format and never change their meaning.
"""

from enum import Enum, IntEnum
from typing import Final, NamedTuple

from openami.dlms.obis import Obis

INTERVAL_S: Final = 1800  # capture period of the load profile


class Kind(Enum):
    """How a channel's values relate to time."""

    INTERVAL = "interval"  # a quantity of the interval that starts at `start`
    REGISTER = "register"  # a running total at the end of the interval
    LIVE = "live"  # a momentary value; never stored as an interval


class Row(NamedTuple):
    """What a channel number stands for; value in the store x 10**scaler = value in `unit`."""

    obis: Obis
    kind: Kind
    scaler: int
    unit: str


class Channel(IntEnum):
    """Channel numbers in the store."""

    IMPORT_WH = 1
    EXPORT_WH = 2
    IMPORT_REGISTER = 3
    EXPORT_REGISTER = 4
    POWER = 10
    VOLTAGE = 11
    CURRENT = 12

    @property
    def row(self) -> Row:
        return CHANNELS[self]


CHANNELS: Final[dict[Channel, Row]] = {
    Channel.IMPORT_WH: Row(Obis(1, 0, 1, 29, 0, 255), Kind.INTERVAL, 0, "Wh"),
    Channel.EXPORT_WH: Row(Obis(1, 0, 2, 29, 0, 255), Kind.INTERVAL, 0, "Wh"),
    Channel.IMPORT_REGISTER: Row(Obis(1, 0, 1, 8, 0, 255), Kind.REGISTER, 0, "Wh"),
    Channel.EXPORT_REGISTER: Row(Obis(1, 0, 2, 8, 0, 255), Kind.REGISTER, 0, "Wh"),
    Channel.POWER: Row(Obis(1, 0, 1, 7, 0, 255), Kind.LIVE, 0, "W"),
    Channel.VOLTAGE: Row(Obis(1, 0, 12, 7, 0, 255), Kind.LIVE, -1, "V"),
    Channel.CURRENT: Row(Obis(1, 0, 11, 7, 0, 255), Kind.LIVE, -2, "A"),
}

PROFILE_CHANNELS: Final = (
    Channel.IMPORT_WH,
    Channel.EXPORT_WH,
    Channel.IMPORT_REGISTER,
    Channel.EXPORT_REGISTER,
)
