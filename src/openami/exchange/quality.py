# SPDX-License-Identifier: Apache-2.0
"""Quality of a stored value: a bit mask beside every version.

IEC 61968-9 names such marks ReadingQualityType.  No bit set: measured, and no validation rule
objected.
"""

from enum import IntFlag


class Quality(IntFlag):
    """Bits of `quality`; part of the stored format, they never change their meaning."""

    MEASURED = 0
    ESTIMATED = 1  # not measured: a VEE method produced it
    INTERPOLATED = 2  # with ESTIMATED: straight line between neighbours
    LIKE_DAY = 4  # with ESTIMATED: mean of like days
    SCALED = 8  # with ESTIMATED: scaled to a register difference
    EDITED = 16  # a person set it
    SUSPECT = 32  # a validation rule failed
    POWER_FAIL = 64  # the meter was without power in the interval
    CLOCK_DOUBTFUL = 128  # the meter's clock status said so


# The meter's own interval status (0.0.96.10.1.255), bit by bit.
class ProfileStatus(IntFlag):
    """Status column of the load profile."""

    CRITICAL_ERROR = 0x01
    CLOCK_INVALID = 0x02
    DATA_NOT_VALID = 0x04
    DAYLIGHT_SAVING = 0x08
    CLOCK_ADJUSTED = 0x20
    POWER_DOWN = 0x80


def quality_of_status(status: int) -> Quality:
    """Return the quality that a profile row's status octet gives its values."""
    quality = Quality.MEASURED
    if status & (ProfileStatus.CLOCK_INVALID | ProfileStatus.CLOCK_ADJUSTED):
        quality |= Quality.CLOCK_DOUBTFUL
    if status & ProfileStatus.POWER_DOWN:
        quality |= Quality.POWER_FAIL
    if status & (ProfileStatus.CRITICAL_ERROR | ProfileStatus.DATA_NOT_VALID):
        quality |= Quality.SUSPECT
    return quality
