# SPDX-License-Identifier: Apache-2.0
"""Finding frames in a stream: back to back, with noise between them, cut into any pieces.

IEC 62056-46, 6.4.2.  A frame begins at a flag; the closing flag of one frame may be the opening
flag of the next.  What is wrong is dropped, never answered, and the search goes on at the next
flag.  A frame whose header is right but whose FCS is wrong is dropped whole: what its information
holds is never taken for a frame.
"""

from dataclasses import dataclass, field
from typing import Final

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.frame import CLAUSE, FLAG, Frame, read_header

Found = Frame | DecodeError

_FLAG: Final = bytes((FLAG,))
_IDLE: Final = b"\x00\xff"
"""What an idle line may read as: no fault."""


@dataclass(slots=True)
class FrameReader:
    """Splits what a line brings into frames; each line has one."""

    _pending: bytes = field(default=b"", repr=False)

    @property
    def is_within_frame(self) -> bool:
        """Whether a frame has begun and is not whole: the inter-octet time-out runs."""
        return len(self._pending) > 1

    def feed(self, octets: bytes) -> list[Found]:
        """Return the frames that `octets` complete and, as errors, what had to be dropped."""
        found: list[Found] = []
        self._pending = self._split(self._pending + octets if self._pending else octets, found)
        return found

    def expire(self) -> list[Found]:
        """Give up the frame that has begun; return whole ones that stood behind a false start."""
        found: list[Found] = []
        octets = self._pending
        while len(octets) > 1:
            problem = f"the frame was not whole in time: {len(octets)} octets came"
            found.append(DecodeError(problem, octets, len(octets), CLAUSE))
            following = octets.find(_FLAG, 1)
            octets = self._split(octets[following:], found) if following > 0 else b""
        self._pending = b""
        return found

    def turn(self) -> None:
        """Note that we speak now: the flag that closed the last frame opens no other."""
        if self._pending == _FLAG:
            self._pending = b""

    def _split(self, octets: bytes, found: list[Found]) -> bytes:
        """Append to `found` what `octets` hold; return those that may still become a frame."""
        position, end = 0, len(octets)
        while position < end:
            flag = octets.find(_FLAG, position)
            if flag != position and octets[position : end if flag < 0 else flag].strip(_IDLE):
                stop = end if flag < 0 else flag
                problem = f"{stop - position} octets stand outside of a frame"
                found.append(DecodeError(problem, octets, position, CLAUSE))
            if flag < 0:
                return b""
            following = flag + 1
            while following < end and octets[following] == FLAG:
                following += 1
            flag = following - 1
            if following == end:
                return _FLAG
            try:
                closing = self._frame(octets, following, found)
            except DecodeError as error:
                flag = octets.find(_FLAG, following)
                if octets[following : end if flag < 0 else flag].strip(_IDLE):
                    found.append(error)
                if flag < 0:
                    return b""
                position = flag
                continue
            if closing is None:
                return octets[flag:]
            position = closing
        return b""

    @staticmethod
    def _frame(octets: bytes, start: int, found: list[Found]) -> int | None:
        """Take the frame whose format field stands at `start`.

        Returns:
            Where its closing flag stands; None if it is not whole yet.

        Raises:
            DecodeError: No frame starts here.
        """
        header = read_header(octets, start)
        if header is None or header.end >= len(octets):
            return None
        if octets[header.end] != FLAG:
            raise DecodeError("no flag closes the frame", octets, header.end, CLAUSE)
        try:
            found.append(header.frame(octets))
        except DecodeError as error:
            found.append(error)
        return header.end
