# SPDX-License-Identifier: Apache-2.0
"""What a meter tells at once: last gasp, restoration, alarms.  No I/O, told monotonic time.

When the supply is lost a capacitor carries the meter for `reserve_s`; within them, after a random
part of `jitter_s`, one last gasp leaves, unconfirmed and never repeated.  Then the meter is dark.
It pushes nothing else meanwhile.  With the supply come a restoration, which says how long it was
away, and whatever alarms waited: those are repeated until the next hop has receipted them.  What
is not told before a restart stands in the event log, which is read, and in the alarm registers
(`alarms`), which are told again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openami.dlms.obis import Obis
from openami.exchange.alarms import AlarmNotice
from openami.exchange.events import ALARMS, EventCode
from openami.exchange.notice import ALARM_PUSH_SETUP, EventNotice

MOST_WAITING: Final = 32  # beyond, the event log alone tells
NEVER_S: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeSettings:
    """How a meter tells events at once."""

    reserve_s: float = 5.0  # for which the capacitor carries it
    jitter_s: float = 1.5  # over which meters spread their last gasps and restorations
    alarms: frozenset[int] = ALARMS  # which events are told that are no bit of the alarm register
    push_setup: Obis = ALARM_PUSH_SETUP


def _nobody() -> None:
    """Nobody is told."""


def _nobody_of(_notice: AlarmNotice) -> None:
    """Nobody is told."""


DEFAULT_NOTICES: Final = NoticeSettings()


class Notices:
    """The notices of one meter.

    Attributes:
        lost_at_s: Calendar second since which there is no supply; None while there is.
        dark: The capacitor is empty: nothing is sent or answered.
        on_light: Called when the supply is back after the dark.
        on_told: Called with an alarm notice that was receipted.
        on_work: Called when there is something to tell, so that `tick` is due.
        gasps: How many last gasps left since the start.
    """

    __slots__ = (
        "_again_s",
        "_dark_s",
        "_draw",
        "_gasp_s",
        "_pause_s",
        "_pauses_s",
        "_restored",
        "_seal",
        "_send",
        "_settings",
        "_under_way",
        "_waiting",
        "dark",
        "gasps",
        "lost_at_s",
        "on_light",
        "on_told",
        "on_work",
    )

    def __init__(
        self,
        settings: NoticeSettings,
        seal: Callable[[bytes], tuple[bytes, int]],
        draw: Callable[[], float],
        pauses_s: tuple[float, float],
        lost_at_s: int | None = None,
    ) -> None:
        """Begin; with `lost_at_s`, in the dark.

        Args:
            settings: How.
            seal: Returns a notification as it travels, and its long-invoke-id.
            draw: Uniform in [0, 1).
            pauses_s: First and longest pause before a notice is sent again.
            lost_at_s: When the supply was lost, of the event log.
        """
        self.lost_at_s = lost_at_s
        self.dark = lost_at_s is not None
        self.on_light = self.on_work = _nobody
        self.on_told: Callable[[AlarmNotice], None] = _nobody_of
        self.gasps = 0
        self._settings = settings
        self._seal = seal
        self._draw = draw
        self._pauses_s = pauses_s
        self._pause_s = pauses_s[0]
        self._gasp_s: float | None = None  # None: to be set at the next tick
        self._dark_s = NEVER_S
        self._waiting: list[EventNotice | AlarmNotice] = []
        self._under_way: tuple[bytes, int] | None = None
        self._again_s = 0.0
        self._restored = False
        self._send: Callable[[bytes], None] | None = None

    @property
    def busy(self) -> bool:
        """Whether `tick` has something to do, now or later."""
        return bool(self._waiting) if self.lost_at_s is None else not self.dark

    @property
    def pending(self) -> int:
        """How many notices wait for a receipt."""
        return len(self._waiting)

    def attached(self, send: Callable[[bytes], None], now_s: float) -> None:
        """Send over a new connection."""
        self._send = send
        self._again_s = max(now_s, self._again_s if self._under_way is None else now_s)

    def detached(self) -> None:
        """Wait for another connection."""
        self._send = None

    def event(self, code: int, at_s: int) -> None:
        """Learn of an event that the log has."""
        if code == EventCode.POWER_FAILURE:
            if self.lost_at_s is None:
                self.lost_at_s, self._gasp_s, self._dark_s = at_s, None, NEVER_S
                self.on_work()
        elif code == EventCode.POWER_RETURNED:
            if self.lost_at_s is not None:
                self._returned(at_s, max(0, at_s - self.lost_at_s))
        elif code in self._settings.alarms:
            self._put(self._notice(code, at_s))

    def tell(self, notice: AlarmNotice) -> None:
        """Let an alarm notice wait for its turn."""
        self._put(notice)

    def tick(self, now_s: float) -> None:
        """Send what is due; raises `SecurityError` or `StorageError` where it cannot be sealed."""
        if self.lost_at_s is not None:
            if not self.dark:
                self._last_gasp(now_s, self.lost_at_s)
            return
        if self._restored:  # meters of a street come back together
            self._restored = False
            self._again_s = now_s + self._draw() * self._settings.jitter_s
        if self._send is None or not self._waiting or now_s < self._again_s:
            return
        if self._under_way is None:
            self._under_way = self._seal(self._waiting[0].encode())
        self._again_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._pauses_s[1])
        self._send(self._under_way[0])

    def confirm(self, invoke_id: int, now_s: float) -> bool:
        """Take a hop receipt; return whether it was for what is under way."""
        if self._under_way is None or self._under_way[1] != invoke_id:
            return False
        told = self._waiting.pop(0)
        self._under_way = None
        self._again_s = now_s
        self._pause_s = self._pauses_s[0]
        if isinstance(told, AlarmNotice):
            self.on_told(told)
        return True

    def _last_gasp(self, now_s: float, at_s: int) -> None:
        if self._gasp_s is None:
            self._gasp_s = now_s + self._draw() * self._settings.jitter_s
            self._dark_s = now_s + self._settings.reserve_s
        if now_s >= self._dark_s:
            self.dark = True
        elif now_s >= self._gasp_s and self._send is not None:
            self._gasp_s = NEVER_S
            gasp = self._notice(EventCode.POWER_FAILURE, at_s, confirmed=False)
            self._send(self._seal(gasp.encode())[0])
            self.gasps += 1

    def _returned(self, at_s: int, seconds: int) -> None:
        was_dark, self.dark, self.lost_at_s = self.dark, False, None
        self._restored = True
        self._put(self._notice(EventCode.POWER_RETURNED, at_s, seconds))
        if was_dark:
            self.on_light()

    def _put(self, notice: EventNotice | AlarmNotice) -> None:
        """Let a notice wait; of too many the oldest that is not under way goes."""
        if len(self._waiting) >= MOST_WAITING:
            del self._waiting[1]
        self._waiting.append(notice)
        self.on_work()

    def _notice(
        self, code: int, at_s: int, seconds: int = 0, *, confirmed: bool = True
    ) -> EventNotice:
        setup = self._settings.push_setup
        return EventNotice(
            confirmed=confirmed, at_s=at_s, code=code, seconds=seconds, push_setup=setup
        )
