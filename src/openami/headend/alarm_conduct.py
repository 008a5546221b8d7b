# SPDX-License-Identifier: Apache-2.0
"""Alarm registers of a meter are shown, cleared or filtered.

What is to be cleared is looked up and made durable before anything is written.  The register is
cleared before its descriptor: an alarm that rises in between stands in the register still.  Where
the companion profile says that zeros clear, every other bit is written as 1; else what was read is
written back without the bits that are cleared, and an alarm that rises in between may be lost to
the register, not to the event log.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from openami.dlms.data import DoubleLongUnsigned
from openami.dlms.obis import Obis
from openami.exchange.alarms import ALL_BITS, bits_in
from openami.exchange.commands import CommandState
from openami.exchange.words import many
from openami.headend.alarms import at_second, keep, read_words
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.companion import AlarmRegister, Companion
from openami.headend.conduct import TOO_LATE, Json, NotAllowedError, Outcome
from openami.headend.orders import AlarmsOrder
from openami.store.alarms import Picture, Word


@dataclass(slots=True, kw_only=True)
class AlarmConduct:
    """Carries out an `AlarmsOrder`.

    Attributes:
        order: What is asked.
        companion: What is known of the meter's kind.
        books: The store.
        now_us: The calendar.
        asked_by: Who asked.
        changes: Whether the meter is another afterwards.
    """

    order: AlarmsOrder
    companion: Companion
    books: Books
    now_us: Callable[[], int]
    asked_by: str
    changes: bool = field(init=False)
    _words: dict[int, Word] = field(default_factory=dict)
    _targets: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.changes = self.order.action != "show"

    async def before(self, session: MeterSession) -> Json:
        order = self.order
        if not self.changes:
            return {}
        self._words = await read_words(session, self._registers())
        if not self._words:
            raise NotAllowedError("the meter tells none of these alarm registers")
        if order.action == "clear":
            self._targets = {
                number: _open(word) if order.bits is None else order.mask
                for number, word in self._words.items()
            }
        else:
            self._targets = {number: self._filter(word) for number, word in self._words.items()}
        return {"targets": {str(number): mask for number, mask in self._targets.items()}}

    async def send(self, session: MeterSession) -> None:
        for number, target in self._targets.items():
            register = self.companion.alarms[number]
            if self.order.action == "filter" and register.filter is not None:
                await _write(session, register.filter, target)
                continue
            word = self._words[number]
            for part, at in (("register", register.register), ("descriptor", register.descriptor)):
                if at is not None and target & word.get(part, 0):
                    kept = ALL_BITS if register.clears_by_zeros else word[part]
                    await _write(session, at, kept & ~target)

    async def prove(self, session: MeterSession, before: Json | None) -> Outcome:
        asked_us = self.now_us()
        words = await read_words(session, self._registers())
        targets = {int(n): mask for n, mask in (before or {}).get("targets", {}).items()}
        cleared = targets if self.order.action == "clear" else {}
        picture = Picture(
            meter_id=session.meter.meter_id,
            as_of_us=at_second(asked_us),
            received_us=self.now_us(),
            words=words,
            cleared=cleared,
            cleared_by=self.asked_by,
        )
        await keep(self.books, self.companion, picture)
        result: Json = {"registers": {str(number): word for number, word in words.items()}}
        result["alarms"] = [
            {"register": number, "bit": bit, "kind": kind, "text": text}
            for number, word in words.items()
            for bit in bits_in(_open(word))
            for kind, text in [self.companion.alarm_name(number, bit)]
        ]
        match self.order.action:
            case "show":
                count = len(result["alarms"])
                note = f"{many(count, 'alarm')} in the registers"
                return Outcome(CommandState.CONFIRMED, note, result)
            case "clear":
                return self._cleared(words, targets, result)
            case _:
                return _filtered(words, targets, result)

    def _cleared(
        self, words: Mapping[int, Word], targets: Mapping[int, int], result: Json
    ) -> Outcome:
        if not targets and self.order.bits is None:
            targets = dict.fromkeys(words, ALL_BITS)  # it is not known what was set before
        left = [
            self.companion.alarm_name(number, bit)[1]
            for number, mask in targets.items()
            for bit in bits_in(_open(words.get(number, {"register": ALL_BITS})) & mask)
        ]
        if left:
            note = f"read back: set still, or again: {', '.join(left)}{TOO_LATE}"
            return Outcome(CommandState.FAILED, note, result)
        count = sum(mask.bit_count() for mask in targets.values())
        note = f"read back: {count} alarm{' is' if count == 1 else 's are'} cleared"
        return Outcome(CommandState.CONFIRMED, note, result)

    def _registers(self) -> dict[int, AlarmRegister]:
        """Return the registers that the order means.

        Raises:
            NotAllowedError: The companion profile has none.
        """
        wanted, known = self.order.register, self.companion.alarms
        found = {n: each for n, each in known.items() if wanted in {None, n}}
        if not found:
            which = "alarm registers" if wanted is None else f"alarm register {wanted}"
            sentence = f"companion profile {self.companion.name!r} has no {which}"
            raise NotAllowedError(f"{sentence}: write [[alarms]] there")
        return found

    def _filter(self, word: Word) -> int:
        if "filter" not in word:
            raise NotAllowedError("the meter has no filter of this alarm register")
        order = self.order
        if order.value is not None:
            return order.value
        return word["filter"] & ~order.disable | order.enable


def _open(word: Word) -> int:
    return word["register"] | word.get("descriptor", 0)


def _filtered(words: Mapping[int, Word], targets: Mapping[int, int], result: Json) -> Outcome:
    wrong = [
        f"the filter of register {number} is {words.get(number, {}).get('filter')}, not {wanted}"
        for number, wanted in targets.items()
        if words.get(number, {}).get("filter") != wanted
    ]
    if wrong or not targets:
        said = "; ".join(wrong) or "it is not known what was asked for"
        return Outcome(CommandState.FAILED, f"read back: {said}{TOO_LATE}", result)
    return Outcome(CommandState.CONFIRMED, "read back: the filter is as asked", result)


async def _write(session: MeterSession, at: Obis, value: int) -> None:
    await session.run(session.client.set_data(1, at, 2, DoubleLongUnsigned(value & ALL_BITS)))
