# SPDX-License-Identifier: Apache-2.0
"""Numbers with their nouns, in sentences for people."""


def many(number: int, noun: str = "meter") -> str:
    """Return a number with its noun: `1 meter`, `1,200 meters`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
