# SPDX-License-Identifier: Apache-2.0
"""Which request an answer belongs to: Invoke-Id-And-Priority, long and short (IEC 62056-5-3)."""

from typing import ClassVar, Final, Self

from openami.dlms.axdr import Reader


class InvokeIdAndPriority(int):
    """Which request an answer belongs to: bits 3..0 invoke-id, 6 confirmed, 7 high priority.

    It is the octet itself, so a plain number such as 0xC1 does wherever one is asked for.
    """

    __slots__ = ()

    @classmethod
    def of(cls, invoke_id: int, *, confirmed: bool = True, high_priority: bool = True) -> Self:
        """Build the octet from its parts."""
        if not 0 <= invoke_id <= 0x0F:
            raise ValueError(f"invoke-id is 0 to 15, not {invoke_id}")
        return cls(invoke_id | confirmed << 6 | high_priority << 7)

    @property
    def invoke_id(self) -> int:
        return self & 0x0F

    @property
    def confirmed(self) -> bool:
        return bool(self & 0x40)

    @property
    def high_priority(self) -> bool:
        return bool(self & 0x80)

    @classmethod
    def read(cls, reader: Reader) -> "InvokeIdAndPriority":
        """Take the octet off the front of `reader`."""
        return INVOKE_IDS[reader.unsigned(1, "invoke-id-and-priority")]

    def __repr__(self) -> str:
        return f"InvokeIdAndPriority(0x{self:02X})"


INVOKE_IDS: Final = tuple(InvokeIdAndPriority(octet) for octet in range(0x100))
"""All values, so that decoding an APDU builds none."""


class LongInvokeIdAndPriority(int):
    """As `InvokeIdAndPriority`, four octets.

    Bits 23..0 long-invoke-id, 28 self-descriptive, 29 break on error, 30 confirmed, 31 high
    priority.
    """

    __slots__ = ()

    LARGEST_ID: ClassVar = 0xFFFFFF

    @classmethod
    def of(
        cls,
        long_invoke_id: int,
        *,
        confirmed: bool = True,
        high_priority: bool = False,
        self_descriptive: bool = False,
        break_on_error: bool = False,
    ) -> Self:
        """Build the number from its parts."""
        if not 0 <= long_invoke_id <= cls.LARGEST_ID:
            raise ValueError(f"long-invoke-id is 0 to {cls.LARGEST_ID}, not {long_invoke_id}")
        bits = self_descriptive << 28 | break_on_error << 29 | confirmed << 30 | high_priority << 31
        return cls(long_invoke_id | bits)

    @property
    def long_invoke_id(self) -> int:
        return self & self.LARGEST_ID

    @property
    def self_descriptive(self) -> bool:
        return bool(self >> 28 & 1)

    @property
    def break_on_error(self) -> bool:
        return bool(self >> 29 & 1)

    @property
    def confirmed(self) -> bool:
        return bool(self >> 30 & 1)

    @property
    def high_priority(self) -> bool:
        return bool(self >> 31 & 1)

    def encode(self) -> bytes:
        """Return the four octets."""
        return self.to_bytes(4)

    def __repr__(self) -> str:
        return f"LongInvokeIdAndPriority(0x{self:08X})"

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the four octets off the front of `reader`."""
        return cls(reader.unsigned(4, "long-invoke-id-and-priority"))
