# SPDX-License-Identifier: Apache-2.0
"""What a meter pushes on its customer port: APDUs in HDLC UI frames or in wired M-Bus frames.

Nobody else speaks on such a line and nothing is answered (field practice of many network operators;
IEC 62056-46, 6.4.4.7 for UI, EN 13757-3 for M-Bus).  Which of the two a meter speaks shows with its
first sound frame; what came before is noise of one or the other.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.control import Kind
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.link import UnnumberedAssembly
from openami.dlms.hdlc.reader import Found, FrameReader
from openami.dlms.mbus import MbusAssembler, MbusFrame, MbusReader
from openami.dlms.sap import Sap

_CARRYING: Final = frozenset({Kind.UI, Kind.I})
"""Some meters push in I frames, though there is no link."""


class Pushed(NamedTuple):
    """An APDU that a meter pushed."""

    source: Sap
    destination: Sap
    apdu: bytes


@dataclass(slots=True)
class _Hdlc:
    """The line read as HDLC."""

    reader: FrameReader = field(default_factory=FrameReader)
    unnumbered: UnnumberedAssembly = field(default_factory=UnnumberedAssembly)
    is_sure: bool = False

    def take(self, found: list[Found]) -> list[Pushed | DecodeError]:
        taken: list[Pushed | DecodeError] = []
        for each in found:
            if isinstance(each, DecodeError):
                taken.append(each)
                continue
            self.is_sure = True
            if each.control.kind in _CARRYING:
                taken += self._unnumbered(each)
        return taken

    def _unnumbered(self, frame: Frame) -> list[Pushed]:
        message = self.unnumbered.accept(frame)
        if message is None:
            return []
        return [Pushed(message.source.sap, message.destination.sap, message.apdu)]


@dataclass(slots=True)
class _Mbus:
    """The line read as wired M-Bus; each sender counts segments of its own."""

    reader: MbusReader = field(default_factory=MbusReader)
    assemblers: dict[tuple[int, int], MbusAssembler] = field(default_factory=dict)
    is_sure: bool = False

    def take(self, found: list[MbusFrame | DecodeError]) -> list[Pushed | DecodeError]:
        taken: list[Pushed | DecodeError] = []
        for each in found:
            if isinstance(each, DecodeError):
                taken.append(each)
                continue
            self.is_sure = True
            way = each.source, each.destination
            try:
                apdu = self.assemblers.setdefault(way, MbusAssembler()).accept(each)
            except DecodeError as error:
                taken.append(error)
                continue
            if apdu:
                taken.append(Pushed(each.source, each.destination, apdu))
        return taken


@dataclass(slots=True)
class CustomerPort:
    """Finds APDUs in what the line brings.

    Attributes:
        dropped: How many faulty frames and runs of noise were dropped.
        last_fault: The last of them.
    """

    dropped: int = 0
    last_fault: DecodeError | None = None
    _hdlc: _Hdlc | None = field(default_factory=_Hdlc)
    _mbus: _Mbus | None = field(default_factory=_Mbus)

    @property
    def framing(self) -> str | None:
        """``hdlc`` or ``m-bus``; None while it has not shown."""
        if self._hdlc is not None and self._hdlc.is_sure:
            return "hdlc"
        return "m-bus" if self._mbus is not None and self._mbus.is_sure else None

    @property
    def is_within_frame(self) -> bool:
        """Whether a frame has begun: `expire` gives it up when the line stays silent."""
        hdlc = self._hdlc is not None and self._hdlc.reader.is_within_frame
        return hdlc or (self._mbus is not None and self._mbus.reader.pending > 0)

    def feed(self, octets: bytes) -> list[Pushed]:
        """Take what the line brought; return the APDUs that it completes."""
        hdlc, mbus = self._hdlc, self._mbus
        return self._settle(
            hdlc.take(hdlc.reader.feed(octets)) if hdlc else [],
            mbus.take(mbus.reader.feed(octets)) if mbus else [],
        )

    def expire(self) -> list[Pushed]:
        """Give up a frame that stopped half-way: the line was silent for too long."""
        hdlc, mbus = self._hdlc, self._mbus
        if mbus is not None and mbus.reader.pending:
            mbus.reader = MbusReader()
            self._drop(DecodeError("the frame was not whole in time", b"", 0, "EN 13757-2, 5.2"))
        return self._settle(hdlc.take(hdlc.reader.expire()) if hdlc else [], [])

    def _settle(
        self, as_hdlc: list[Pushed | DecodeError], as_mbus: list[Pushed | DecodeError]
    ) -> list[Pushed]:
        """Keep the reading that proved right; faults of the other one are none."""
        framing = self.framing
        if framing == "hdlc":
            self._mbus = None
        elif framing == "m-bus":
            self._hdlc = None
        else:
            return []
        pushed: list[Pushed] = []
        for each in as_hdlc if framing == "hdlc" else as_mbus:
            if isinstance(each, DecodeError):
                self._drop(each)
            else:
                pushed.append(each)
        return pushed

    def _drop(self, fault: DecodeError) -> None:
        self.dropped += 1
        self.last_fault = fault
