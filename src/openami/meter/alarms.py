# SPDX-License-Identifier: Apache-2.0
"""Error register, alarm register, filter and descriptor of one meter.  No I/O, told the calendar.

::

    event -> filter -> alarm register: 0 -> 1 -> alarm descriptor, push

An alarm whose cause has ended by an event of its own leaves the register by itself; every other
stays.  The descriptor says what has risen since a client cleared it, whether it stands or not.  The
error register knows no filter.  A client writes into registers and descriptor what is to stay:
bits that are not set cannot be set, so an alarm that rises while somebody clears is not lost.

The record is durable before the event is in the log: a power cut in between leaves an alarm whose
entry is missing, never an entry whose alarm is.  It says what the next hop has receipted too, so
what was not told before a restart is told after it.

Of one alarm at most `most` pushes leave within `within_s`; what it does beyond is told, as the
state it has come to, when that time is over.
"""

import logging
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import Final, Protocol, Self

from openami.cosem.classes.measurement import Data
from openami.cosem.model import InterfaceClass, Refused
from openami.device.storage import StorageError
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.data import Data as CosemData
from openami.dlms.data import DoubleLongUnsigned
from openami.dlms.obis import Obis
from openami.exchange.alarms import (
    ALARM_BITS,
    ALARM_DESCRIPTOR,
    ALARM_FILTER,
    ALARM_REGISTER,
    ALL_BITS,
    ERROR_BITS,
    ERROR_REGISTER,
    AlarmNotice,
    bits_in,
    ended_by,
    raised_by,
)
from openami.exchange.events import EventCode
from openami.exchange.notice import ALARM_PUSH_SETUP

log = logging.getLogger(__name__)

_RECORD: Final = struct.Struct(">6I")
STATE_ALONE: Final = 0  # instead of a code


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmSettings:
    """How alarms are told."""

    filter: int = ALL_BITS  # until a client writes another
    most: int = 3  # pushes of one alarm ...
    within_s: int = 600  # ... in so many calendar seconds
    push_setup: Obis = ALARM_PUSH_SETUP


DEFAULT_ALARMS: Final = AlarmSettings()


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """What survives a power cut: six words of 32 bits.

    Attributes:
        register: What stands.
        descriptor: What has risen since it was cleared.
        filter: What may rise.
        error: Error register.
        told_register: The register as the next hop has receipted it last, or a client cleared it.
        told_descriptor: The descriptor, likewise.
    """

    register: int = 0
    descriptor: int = 0
    filter: int = ALL_BITS
    error: int = 0
    told_register: int = 0
    told_descriptor: int = 0

    def encode(self) -> bytes:
        return _RECORD.pack(*astuple(self))

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        return cls(*_RECORD.unpack(octets))


class AlarmStore(Protocol):
    """Keeps the record."""

    def load(self) -> AlarmRecord | None:
        """Return it; None before one was kept."""

    def keep(self, record: AlarmRecord, *, durable: bool) -> None:
        """Replace it; raises `StorageError`."""


class Alarms:
    """The alarms of one meter.

    Attributes:
        record: As it is now.
        failing: Why it is not kept; empty when it is.
    """

    __slots__ = (
        "_now_s",
        "_settings",
        "_store",
        "_tell",
        "_told_at",
        "_wake",
        "_withheld",
        "failing",
        "record",
    )

    def __init__(
        self,
        settings: AlarmSettings,
        store: AlarmStore,
        now_s: Callable[[], int],
        tell: Callable[[AlarmNotice], object],
        wake: Callable[[], None],
    ) -> None:
        """Take up what was kept; tell what was not receipted before.

        Args:
            settings: How.
            store: Keeps the record.
            now_s: Calendar second.
            tell: Lets a notice wait for its turn.
            wake: Called when `tick` is due, now or later.
        """
        self.record = store.load() or AlarmRecord(filter=settings.filter)
        self.failing = ""
        self._settings = settings
        self._store = store
        self._now_s = now_s
        self._tell = tell
        self._wake = wake
        self._told_at: dict[int, deque[int]] = {}  # by bit: when it was told lately
        held = self.record
        self._withheld = 0
        if (held.register, held.descriptor) != (held.told_register, held.told_descriptor):
            tell(self._notice(STATE_ALONE, now_s()))

    @property
    def busy(self) -> bool:
        """Whether `tick` has something to do, now or later."""
        return bool(self._withheld or self.failing)

    def event(self, code: int, at_s: int) -> bool:
        """Learn of an event, before it is in the log; tell whether it is an alarm's."""
        before = self.record
        known = raised_by(ALARM_BITS, code) | ended_by(ALARM_BITS, code)
        raised = raised_by(ALARM_BITS, code) & before.filter
        ended = ended_by(ALARM_BITS, code) & before.register
        error = before.error & ~ended_by(ERROR_BITS, code) | raised_by(ERROR_BITS, code)
        risen = raised & ~before.register
        self._keep(
            replace(
                before,
                register=before.register & ~ended | raised,
                descriptor=before.descriptor | risen,
                error=error,
            )
        )
        if touched := raised | ended:
            if self._may_tell(touched, at_s):
                self._tell(self._notice(code, at_s))
            else:
                self._withheld |= touched
                self._wake()
        return bool(known)

    def tick(self) -> None:
        """Keep what the disk refused; tell what was withheld when its time has come."""
        if self.failing:
            self._keep(self.record, always=True)
        if self._withheld:
            now_s = self._now_s()
            if self._may_tell(self._withheld, now_s):
                self._withheld = 0
                self._tell(self._notice(STATE_ALONE, now_s))

    def told(self, notice: AlarmNotice) -> None:
        """Learn that the next hop has a notice."""
        told = replace(
            self.record, told_register=notice.register, told_descriptor=notice.descriptor
        )
        self._keep(told, durable=False)

    def objects(self, cleared: Callable[[EventCode], object]) -> list[InterfaceClass]:
        """Return the COSEM objects; `cleared` is told when a client has cleared a register."""
        return [_Shown(self, word, cleared).as_data() for word in WORDS]

    def write(self, **fields: int) -> None:
        """Keep what a client wrote, or refuse it."""
        before = self.record
        self._keep(replace(before, **fields), always=True)
        if self.failing:
            self.record = before
            raise Refused(DataAccessResult.TEMPORARY_FAILURE)

    def _keep(self, record: AlarmRecord, *, durable: bool = True, always: bool = False) -> None:
        if record == self.record and not always:
            return
        self.record = record
        try:
            self._store.keep(record, durable=durable)
        except StorageError as error:
            if str(error) != self.failing:
                log.error("alarms are not kept: %s", error)  # noqa: TRY400
            self.failing = str(error)
            self._wake()
        else:
            self.failing = ""

    def _may_tell(self, mask: int, now_s: int) -> bool:
        """Tell whether one of these alarms has a push left; count it for all of them then."""
        recent = [self._told_at.setdefault(bit, deque()) for bit in bits_in(mask)]
        for moments in recent:
            while moments and not 0 <= now_s - moments[0] < self._settings.within_s:
                moments.popleft()
        if all(len(moments) >= self._settings.most for moments in recent):
            return False
        for moments in recent:
            moments.append(now_s)
        return True

    def _notice(self, code: int, at_s: int) -> AlarmNotice:
        held = self.record
        return AlarmNotice(
            at_s=at_s,
            code=code,
            descriptor=held.descriptor,
            register=held.register,
            error=held.error,
            push_setup=self._settings.push_setup,
        )


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the record as a client sees it.

    Attributes:
        at: Its object.
        field: Of `AlarmRecord`.
        told: The field of what the next hop has of it, which follows; empty without one.
        event: Logged when a client clears it; None: none is.
        is_cleared: What is written clears the bits that are 0 in it; otherwise it is the value.
    """

    at: Obis
    field: str
    told: str = ""
    event: EventCode | None = None
    is_cleared: bool = True


WORDS: Final = (
    Word(ALARM_REGISTER, "register", "told_register", EventCode.ALARM_REGISTER_CLEARED),
    Word(ALARM_FILTER, "filter", is_cleared=False),
    Word(ALARM_DESCRIPTOR, "descriptor", "told_descriptor"),
    Word(ERROR_REGISTER, "error", event=EventCode.ERROR_REGISTER_CLEARED),
)


class _Shown:
    """Gives and takes a word; thousands of meters hold four each."""

    __slots__ = ("_alarms", "_cleared", "_word")

    def __init__(self, alarms: Alarms, word: Word, cleared: Callable[[EventCode], object]) -> None:
        self._alarms, self._word, self._cleared = alarms, word, cleared

    def as_data(self) -> Data:
        shown = Data(self._word.at)
        shown.bind(Data.value, self._value, self._take)
        return shown

    def _value(self) -> CosemData:
        return DoubleLongUnsigned(getattr(self._alarms.record, self._word.field))

    def _take(self, said: CosemData) -> None:
        if not isinstance(said, DoubleLongUnsigned):
            raise Refused(DataAccessResult.TYPE_UNMATCHED)
        word, held, value = self._word, self._alarms.record, int(said)
        names = filter(None, (word.field, word.told))
        self._alarms.write(
            **{name: getattr(held, name) & value if word.is_cleared else value for name in names}
        )
        if word.event is not None:
            self._cleared(word.event)
