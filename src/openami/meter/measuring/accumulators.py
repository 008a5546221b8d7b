# SPDX-License-Identifier: Apache-2.0
"""Energy in four quadrants, per phase and in total, as integers of a millionth of a unit.

A frame's energy is a number of µWh with a fraction.  What the register takes are whole µWh; the
fraction is carried into the next frame, signed, so that import minus export is always the sum of
all that flowed, within half a µWh, however long the meter runs.

Active energy is import where the frame's active power is positive.  Reactive energy goes to the
quadrant of the frame's active and reactive power; apparent energy to the direction of its active
power.  The total's direction is that of the sum of the phases' power in a frame (the phases
balance each other); each phase has registers of its own besides.

The registers carry a CRC-32, taken after each frame and compared before the next.
"""

import struct
import zlib
from enum import IntEnum
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from openami.meter.measuring.signal import Floats

Integers = npt.NDArray[np.int64]

ROWS: Final = 4  # L1, L2, L3, total
MICRO_PER_WS: Final = 1e6 / 3600
HEAD: Final = struct.Struct(">4sI")
MAGIC: Final = b"OAE1"
CRC: Final = struct.Struct(">I")


class Quantity(IntEnum):
    """The registers of one row."""

    ACTIVE_IMPORT = 0
    ACTIVE_EXPORT = 1
    REACTIVE_I = 2
    REACTIVE_II = 3
    REACTIVE_III = 4
    REACTIVE_IV = 5
    APPARENT_IMPORT = 6
    APPARENT_EXPORT = 7


OBIS_C: Final = (
    {0: 1, 1: 2, 2: 5, 3: 6, 4: 7, 5: 8, 6: 9, 7: 10},
    (20, 40, 60, 0),
)
"""Value group C of each quantity of the total; what a row adds to it."""


def obis_c(row: int, quantity: Quantity) -> int:
    """Return value group C of a register, e.g. 21 for active import of L1."""
    return OBIS_C[0][quantity] + OBIS_C[1][row]


class RegistersDamagedError(RuntimeError):
    """Registers no longer have the CRC they were left with."""


class Accumulators:
    """The energy registers of some meters.

    Args:
        meters: How many.
    """

    __slots__ = ("_carry", "_crc", "micro")

    def __init__(self, meters: int) -> None:
        self.micro: Integers = np.zeros((meters, ROWS, len(Quantity)), dtype=np.int64)
        """µWh, µvarh, µVAh: (m, row, quantity)."""
        self._carry: Floats = np.zeros((meters, ROWS, 3))
        self._crc = self._check()

    def add(self, powers: Floats, duration_s: float) -> None:
        """Count a frame.

        Args:
            powers: Active, reactive and apparent power, (m, 4 rows, 3), in W, var, VA.
            duration_s: Of the frame.

        Raises:
            RegistersDamagedError: Something else has written to the registers.
        """
        self.verify()
        exact = powers * (duration_s * MICRO_PER_WS) + self._carry
        whole = np.rint(exact)
        self._carry = exact - whole
        active, reactive, apparent = np.moveaxis(whole.astype(np.int64), -1, 0)
        outward = powers[..., 0] < 0
        micro = self.micro
        micro[..., Quantity.ACTIVE_IMPORT] += np.maximum(active, 0)
        micro[..., Quantity.ACTIVE_EXPORT] += np.maximum(-active, 0)
        for quadrant, flowed, direction in (
            (Quantity.REACTIVE_I, reactive, ~outward),
            (Quantity.REACTIVE_II, reactive, outward),
            (Quantity.REACTIVE_III, -reactive, outward),
            (Quantity.REACTIVE_IV, -reactive, ~outward),
        ):
            micro[..., quadrant] += np.where(direction, np.maximum(flowed, 0), 0)
        micro[..., Quantity.APPARENT_IMPORT] += np.where(outward, 0, apparent)
        micro[..., Quantity.APPARENT_EXPORT] += np.where(outward, apparent, 0)
        self._crc = self._check()

    def verify(self) -> None:
        """Compare registers and CRC.

        Raises:
            RegistersDamagedError: They do not fit.
        """
        if self._check() != self._crc:
            raise RegistersDamagedError(
                "the energy registers do not fit their CRC: restore them from the journal"
            )

    def encode(self) -> bytes:
        """Return the registers as octets: magic, meters, registers, carries, CRC-32."""
        body = HEAD.pack(MAGIC, len(self.micro))
        body += self.micro.astype(">i8").tobytes() + self._carry.astype(">f8").tobytes()
        return body + CRC.pack(zlib.crc32(body))

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read what `encode` wrote.

        Raises:
            RegistersDamagedError: Octets are missing, too many, or changed.
        """
        body = octets[: -CRC.size]
        if len(octets) < HEAD.size + CRC.size or octets[-CRC.size :] != CRC.pack(zlib.crc32(body)):
            raise RegistersDamagedError(f"{len(octets)} octets of registers do not fit their CRC")
        magic, meters = HEAD.unpack_from(body)
        of_micro = 8 * meters * ROWS * len(Quantity)
        if magic != MAGIC or len(body) != HEAD.size + of_micro + 8 * meters * ROWS * 3:
            raise RegistersDamagedError(f"{len(octets)} octets are not the registers of meters")
        made = cls(meters)
        micro = np.frombuffer(body, ">i8", meters * ROWS * len(Quantity), HEAD.size)
        carry = np.frombuffer(body, ">f8", meters * ROWS * 3, HEAD.size + of_micro)
        made.micro[...] = micro.reshape(made.micro.shape)
        made._carry[...] = carry.reshape(made._carry.shape)
        made._crc = made._check()
        return made

    def _check(self) -> int:
        return zlib.crc32(self._carry.tobytes(), zlib.crc32(self.micro.tobytes()))
