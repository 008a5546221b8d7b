# SPDX-License-Identifier: Apache-2.0
"""A meter's alarm registers, read as its companion profile has them, and stored."""

from collections.abc import Callable, Mapping
from typing import Final

from openami.cosem.classes.measurement import Data
from openami.dlms.data import FixedInteger
from openami.dlms.obis import Obis
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.companion import AlarmRegister, Companion
from openami.runtime.clock import MICROSECONDS
from openami.store.alarms import Picture, Word

PARTS: Final = ("register", "filter", "descriptor")


async def read_words(
    session: MeterSession, registers: Mapping[int, AlarmRegister]
) -> dict[int, Word]:
    """Read the registers in one request; one that the meter refuses is left out."""
    places = [
        (number, part, at)
        for number, each in registers.items()
        for part in PARTS
        if (at := _at(each, part)) is not None
    ]
    if not places:
        return {}
    rows = [(Data.value, at) for _, _, at in places]
    results = await session.run(session.client.get_list(rows))
    found: dict[int, Word] = {}
    for (number, part, _), value in zip(places, results, strict=True):
        word = word_of(value)
        if word is not None:
            found.setdefault(number, {})[part] = word
    return {number: word for number, word in found.items() if "register" in word}


def word_of(value: object) -> int | None:
    """Return what a register holds as a number; None where it is none."""
    if isinstance(value, FixedInteger) and int(value) >= 0:
        return int(value)
    return None


def _at(register: AlarmRegister, part: str) -> Obis | None:
    found: Obis | None = getattr(register, part)
    return found


async def fetch_alarms(
    session: MeterSession, books: Books, companion: Companion, now_us: Callable[[], int]
) -> None:
    """Read a meter's alarm registers and store them; a meter without any is left alone.

    Raises:
        DlmsError: The meter broke the protocol.
        UserError: It does not answer, or the store cannot be written.
    """
    asked_us = now_us()
    words = await read_words(session, companion.alarms)
    if words:
        picture = Picture(
            meter_id=session.meter.meter_id,
            as_of_us=at_second(asked_us),
            received_us=now_us(),
            words=words,
        )
        await keep(books, companion, picture)


async def keep(books: Books, companion: Companion, picture: Picture) -> None:
    """Store the registers of a meter.

    Raises:
        StoreUnavailableError: The store cannot be written.
    """
    await books.show(picture, companion.alarm_name)


def at_second(moment_us: int) -> int:
    """Return the second of a moment: meters tell no fractions, and of a second the last counts."""
    return moment_us // MICROSECONDS * MICROSECONDS
