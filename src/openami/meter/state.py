# SPDX-License-Identifier: Apache-2.0
"""What management must not forget: counters, receipts, the breaker.

Invocation counters are reserved ahead, in blocks, durably: after a crash the rest of a block is
never used.  Should the file of the counters be gone or in any doubt, the meter goes on from a
number that real time gives and that is above all it can have used: `SPARE_PER_S` counters for
each second since `COUNTERS_SINCE_S`, sixteen times what a meter that is read without pause needs.
A counter that came twice would cost readings: the head-end confirms, and drops, what it has seen.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from openami.cosem.classes.disconnect import ControlState
from openami.device.cell import Cell
from openami.dlms.security.counters import EXHAUSTED, InvocationCounter

COUNTERS_SINCE_S: Final = 1_767_225_600  # 2026-01-01 UTC
SPARE_PER_S: Final = 16

_STATE: Final = struct.Struct(">I?BQ")
_COUNTER: Final = struct.Struct(">Q")


class CounterStore:
    """Reserves invocation counters in a file (`security.counters.CounterReserve`)."""

    def __init__(self, path: Path, real_us: Callable[[], int], *, begun: bool = False) -> None:
        """Open or create the file.

        Args:
            path: The file.
            real_us: Real UTC.
            begun: The meter has counted before, so the file has to be there.

        Raises:
            StorageError: It cannot be opened.
        """
        gone = begun and not path.exists()
        self._cell, self.finding = Cell.open(path, initial=_COUNTER.pack(1))
        if gone:
            self.finding = f"{path} is gone: counting goes on above all that can have been used"
        if self.finding is not None or self._cell.doubtful:
            elapsed_s = max(0, real_us() // 1_000_000 - COUNTERS_SINCE_S)
            self._cell.store(_COUNTER.pack(min(elapsed_s * SPARE_PER_S + 1, EXHAUSTED)))

    def reserve(self, count: int) -> InvocationCounter:
        (first,) = _COUNTER.unpack(self._cell.value)
        self._cell.store(_COUNTER.pack(min(first + count, EXHAUSTED)))
        return InvocationCounter(first)

    def close(self) -> None:
        """Close the file."""
        self._cell.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementState:
    """What survives a restart of management.

    Attributes:
        receipted: Sequence of the last interval that a hop receipt covers.
        window_expected: The lowest counter accepted from the management client.
        output_closed: The breaker, as metrology last confirmed it.
        control_state: What the disconnect control was told to be.
    """

    receipted: int = 0
    window_expected: int = 0
    output_closed: bool = True
    control_state: ControlState = ControlState.CONNECTED

    def encode(self) -> bytes:
        return _STATE.pack(
            self.receipted,
            self.output_closed,
            self.control_state,
            self.window_expected,
        )

    @classmethod
    def decode(cls, octets: bytes) -> "ManagementState":
        receipted, closed, control, expected = _STATE.unpack(octets)
        return cls(
            receipted=receipted,
            output_closed=closed,
            control_state=ControlState(control),
            window_expected=expected,
        )


class StateStore:
    """The state of management in its file.

    Attributes:
        state: As last noted.
        finding: A sentence if the file was damaged.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            StorageError: It cannot be opened.
        """
        self._cell, self.finding = Cell.open(path, initial=ManagementState().encode())
        self.state = ManagementState.decode(self._cell.value)

    def note(self, *, durable: bool = False, **changes: int) -> None:
        """Change the state; without `durable` a power cut may bring the state before back.

        Raises:
            StorageError: The disk refused; the state is as it was.
        """
        changed = replace(self.state, **changes)  # type: ignore[arg-type]  # fields by name
        if changed != self.state or durable:
            self._cell.store(changed.encode(), durable=durable)
            self.state = changed

    def close(self) -> None:
        """Sync and close."""
        self._cell.close()
