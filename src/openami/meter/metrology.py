# SPDX-License-Identifier: Apache-2.0
"""Metrology: what flows, counted into registers and closed into intervals.  No I/O, no clock.

The load enters as exact Wh behind the measuring chain.  The front end goes on counting while the
processor restarts, as a real one does out of its own reserve: told the time again, metrology closes
every interval since the last one in its journal, each with its exact value.  At first start the
meter has been installed for days, so the history since then is closed at once.

While the supply is lost nothing flows either, and each interval that it was lost in says so in its
status; how the meter knows is its host's business.

Registers are kept in Ws and shown in whole Wh; the remainder is carried, so that an interval's Wh
are always the difference of the registers at its ends.  While the breaker is open nothing flows;
a transition inside an interval splits it to the second.

A meter's state is its last closed interval and the transitions since: `restore` takes
them in the order in which they happened, and gives exactly the meter that wrote them.
"""

import math
import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from openami.exchange.quality import ProfileStatus
from openami.meter.load import WS_PER_WH, Load, energy_over

REGISTER_WRAP_WH: Final = 2**32  # the registers are double-long-unsigned
NOMINAL_VOLTAGE_DV: Final = 2300
SWING_DV: Final = (28, 11)  # slow and quick movement of the supply voltage, 0.1 V
SWING_PERIOD_S: Final = (5420, 307)
DROP_W_PER_DV: Final = 900  # the service cable's drop: 0.1 V for so many watts


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedInterval:
    """One interval as it is journalled, offered on the link and kept in the profile ring.

    ======  ====================  ==========================================
    octets  field                 value
    ======  ====================  ==========================================
    4       sequence              1, 2, 3 … since the meter was installed
    4       end_s                 end of the interval, seconds UTC
    1       status                profile status, `exchange.quality`
    1       breaker and supply    bit 0 breaker closed, bit 1 without supply, at the end
    2, 2    remainders            Ws beyond the whole Wh of import, export
    4, 4    import, export        Wh in the interval
    4, 4    registers             import and export, Wh at the end
    ======  ====================  ==========================================
    """

    FORMAT: ClassVar = struct.Struct(">IIBBHHIIII")

    sequence: int
    end_s: int
    status: int = 0
    breaker_closed: bool = True
    supplied: bool = True
    import_remainder_ws: int = 0
    export_remainder_ws: int = 0
    import_wh: int = 0
    export_wh: int = 0
    import_register_wh: int = 0
    export_register_wh: int = 0

    def encode(self) -> bytes:
        return self.FORMAT.pack(
            self.sequence,
            self.end_s,
            self.status,
            self.breaker_closed | (not self.supplied) << 1,
            self.import_remainder_ws,
            self.export_remainder_ws,
            self.import_wh,
            self.export_wh,
            self.import_register_wh,
            self.export_register_wh,
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read what `encode` wrote.

        Raises:
            struct.error: The octets are not as many as an interval has.
        """
        sequence, end_s, status, ends, *numbers = cls.FORMAT.unpack(octets)
        head = (sequence, end_s, status, bool(ends & 1), not ends & 2)
        return cls(**dict(zip(cls.__slots__, (*head, *numbers), strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChange:
    """The breaker moved."""

    FORMAT: ClassVar = struct.Struct(">I?")

    at_s: int
    closed: bool

    def encode(self) -> bytes:
        return self.FORMAT.pack(self.at_s, self.closed)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        at_s, closed = cls.FORMAT.unpack(octets)
        return cls(at_s=at_s, closed=closed)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplyChange:
    """The supply was lost, or came back."""

    FORMAT: ClassVar = struct.Struct(">I?")

    at_s: int
    supplied: bool

    def encode(self) -> bytes:
        return self.FORMAT.pack(self.at_s, self.supplied)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        at_s, supplied = cls.FORMAT.unpack(octets)
        return cls(at_s=at_s, supplied=supplied)


Change = BreakerChange | SupplyChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Momentary:
    """What the meter shows at one moment."""

    FORMAT: ClassVar = struct.Struct(">I?iHHIIII")

    at_s: int
    breaker_closed: bool
    power_w: int  # import positive
    voltage_dv: int  # 0.1 V
    current_ca: int  # 0.01 A
    import_register_wh: int
    export_register_wh: int
    import_wh: int  # since the open interval began (time integral 5)
    export_wh: int

    def encode(self) -> bytes:
        return self.FORMAT.pack(
            self.at_s,
            self.breaker_closed,
            self.power_w,
            self.voltage_dv,
            self.current_ca,
            self.import_register_wh,
            self.export_register_wh,
            self.import_wh,
            self.export_wh,
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        fields = cls.FORMAT.unpack(octets)
        return cls(**dict(zip(cls.__slots__, fields, strict=True)))


class Metrology:
    """One meter's counting.

    Args:
        load: What the home draws while it is connected.
        installed_s: Calendar second at which the meter began to count.
        period_s: Capture period; intervals end on its multiples.
        generation: What the home feeds in, where there is any; it flows through the same breaker.
        phase: Any number; two meters with different ones see different supply voltages.
    """

    __slots__ = (
        "_breaker_at_start",
        "_changes",
        "_generation",
        "_load",
        "_phase",
        "_supplied_at_start",
        "last",
        "period_s",
    )

    def __init__(
        self,
        load: Load,
        installed_s: int,
        period_s: int,
        *,
        generation: Load | None = None,
        phase: int = 0,
    ) -> None:
        self._load = load
        self._generation = generation
        self._phase = phase
        self.period_s = period_s
        self.last = ClosedInterval(sequence=0, end_s=installed_s)
        self._breaker_at_start = True  # at the start of the open interval
        self._supplied_at_start = True
        self._changes: list[Change] = []

    @property
    def breaker_closed(self) -> bool:
        moves = [change.closed for change in self._changes if isinstance(change, BreakerChange)]
        return moves[-1] if moves else self._breaker_at_start

    @property
    def supplied(self) -> bool:
        """Whether there is supply."""
        told = [change.supplied for change in self._changes if isinstance(change, SupplyChange)]
        return told[-1] if told else self._supplied_at_start

    @property
    def changes(self) -> tuple[Change, ...]:
        """The transitions of breaker and supply inside the open interval."""
        return tuple(self._changes)

    @property
    def breaker_since_s(self) -> int:
        """When the breaker moved last, as far as the open interval tells."""
        moves = [change.at_s for change in self._changes if isinstance(change, BreakerChange)]
        return moves[-1] if moves else self.last.end_s

    @property
    def next_end_s(self) -> int:
        """When the open interval will close."""
        return (self.last.end_s // self.period_s + 1) * self.period_s

    def restore(self, record: ClosedInterval | Change) -> None:
        """Take one record of the journal; those of an earlier interval than the last are passed."""
        if isinstance(record, ClosedInterval):
            if record.sequence > self.last.sequence:
                self.last = record
                self._breaker_at_start = record.breaker_closed
                self._supplied_at_start = record.supplied
                self._changes = [change for change in self._changes if change.at_s >= record.end_s]
        elif record.at_s >= self.last.end_s:
            self._changes.append(record)

    def advance(self, now_s: int) -> list[ClosedInterval]:
        """Close every interval that has ended by `now_s` (seconds UTC), oldest first."""
        closed = []
        while (end_s := self.next_end_s) <= now_s:
            closed.append(self._close(end_s))
        return closed

    def set_breaker(self, now_s: int, *, closed: bool) -> BreakerChange | None:
        """Move the breaker; None when it stands so already.

        Intervals that have ended are to be closed first, with `advance`.
        """
        if closed == self.breaker_closed:
            return None
        change = BreakerChange(at_s=self._not_before_latest(now_s), closed=closed)
        self._changes.append(change)
        return change

    def set_supply(self, now_s: int, *, supplied: bool) -> SupplyChange | None:
        """Lose the supply, or have it back; None when it is so already.

        Intervals that have ended are to be closed first, with `advance`.
        """
        if supplied == self.supplied:
            return None
        change = SupplyChange(at_s=self._not_before_latest(now_s), supplied=supplied)
        self._changes.append(change)
        return change

    def _not_before_latest(self, now_s: int) -> int:
        return max(now_s, self._changes[-1].at_s if self._changes else self.last.end_s)

    def momentary(self, now_s: int) -> Momentary:
        """Return power, voltage, current and running registers at `now_s`."""
        now_s = max(now_s, self.last.end_s)
        import_ws, export_ws = self._flowed(now_s)
        power_w = 0
        if self.breaker_closed and self.supplied:
            power_w = self._load.power_w(now_s)
            if self._generation is not None:
                power_w -= self._generation.power_w(now_s)
        voltage_dv = self._voltage_dv(now_s, power_w) if self.supplied else 0
        import_register_wh = self._register_wh(import_ws, export=False)
        export_register_wh = self._register_wh(export_ws, export=True)
        return Momentary(
            at_s=now_s,
            breaker_closed=self.breaker_closed,
            power_w=power_w,
            voltage_dv=voltage_dv,
            current_ca=min(round(abs(power_w) * 1000 / (voltage_dv or 1)), 0xFFFF),
            import_register_wh=import_register_wh,
            export_register_wh=export_register_wh,
            import_wh=(import_register_wh - self.last.import_register_wh) % REGISTER_WRAP_WH,
            export_wh=(export_register_wh - self.last.export_register_wh) % REGISTER_WRAP_WH,
        )

    def _close(self, end_s: int) -> ClosedInterval:
        """Close the open interval at `end_s`."""
        last = self.last
        import_ws, export_ws = self._flowed(end_s)
        told = [change.supplied for change in self._changes if isinstance(change, SupplyChange)]
        sound = self._supplied_at_start and all(told)
        import_ws += last.import_remainder_ws
        export_ws += last.export_remainder_ws
        import_wh, import_remainder_ws = divmod(import_ws, WS_PER_WH)
        export_wh, export_remainder_ws = divmod(export_ws, WS_PER_WH)
        self.last = ClosedInterval(
            sequence=last.sequence + 1,
            end_s=end_s,
            status=0 if sound else int(ProfileStatus.POWER_DOWN),
            breaker_closed=self.breaker_closed,
            supplied=self.supplied,
            import_remainder_ws=import_remainder_ws,
            export_remainder_ws=export_remainder_ws,
            import_wh=import_wh,
            export_wh=export_wh,
            import_register_wh=(last.import_register_wh + import_wh) % REGISTER_WRAP_WH,
            export_register_wh=(last.export_register_wh + export_wh) % REGISTER_WRAP_WH,
        )
        self._breaker_at_start, self._supplied_at_start = self.breaker_closed, self.supplied
        self._changes.clear()
        return self.last

    def _flowed(self, now_s: int) -> tuple[int, int]:
        """Return what flowed in and out since the open interval began, in Ws."""
        import_ws = export_ws = 0
        start_s = self.last.end_s
        closed, supplied = self._breaker_at_start, self._supplied_at_start
        for change in [*self._changes, None]:
            stop_s = now_s if change is None else min(change.at_s, now_s)
            if closed and supplied and stop_s > start_s:
                import_ws += energy_over(self._load, start_s, stop_s)
                if self._generation is not None:
                    export_ws += energy_over(self._generation, start_s, stop_s)
            start_s = stop_s
            closed = change.closed if isinstance(change, BreakerChange) else closed
            supplied = change.supplied if isinstance(change, SupplyChange) else supplied
        return import_ws, export_ws

    def _register_wh(self, flowed_ws: int, *, export: bool) -> int:
        """Return a register's value when `flowed_ws` more have flowed since the last interval."""
        last = self.last
        register_wh = last.export_register_wh if export else last.import_register_wh
        remainder_ws = last.export_remainder_ws if export else last.import_remainder_ws
        return (register_wh + (flowed_ws + remainder_ws) // WS_PER_WH) % REGISTER_WRAP_WH

    def _voltage_dv(self, now_s: int, power_w: int) -> int:
        """Return the supply voltage: it wanders about its nominal value and drops under load."""
        swing_dv = sum(
            amplitude * math.sin(math.tau * (now_s / period_s + 0.618 * self._phase))
            for amplitude, period_s in zip(SWING_DV, SWING_PERIOD_S, strict=True)
        )
        return NOMINAL_VOLTAGE_DV + round(swing_dv) - power_w // DROP_W_PER_DV
