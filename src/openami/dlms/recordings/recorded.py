# SPDX-License-Identifier: Apache-2.0
"""Frames in recorded octets, whole or damaged, and the APDUs that they hold.

`framings` finds out which framing it is.  An APDU that came in several frames is put together and
stands with the last one.  What breaks a rule is told with the habit that it is, and read as far as
it goes: nobody is answered, so nothing can be done to a peer by reading too much.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind
from openami.dlms.hdlc.fcs import OCTETS as CHECK_OCTETS
from openami.dlms.hdlc.fcs import check_sequence
from openami.dlms.hdlc.frame import CLAUSE as CLAUSE_HDLC
from openami.dlms.hdlc.frame import FLAG, Frame, Header, read_header
from openami.dlms.hdlc.llc import take_off, take_off_if_there
from openami.dlms.hdlc.parameters import LinkParameters
from openami.dlms.mbus import CLAUSE as CLAUSE_MBUS
from openami.dlms.mbus import (
    HEADER_OCTETS,
    LARGEST_CI,
    LAST_SEGMENT,
    START,
    STOP,
    MbusAssembler,
    MbusFrame,
)
from openami.dlms.recordings.partial import Breach
from openami.dlms.sap import Sap
from openami.dlms.wrapper import CLAUSE as CLAUSE_WRAPPER
from openami.dlms.wrapper import HEADER_OCTETS as WRAPPER_OCTETS
from openami.dlms.wrapper import WrapperReader

A = TypeVar("A")
B = TypeVar("B")

Fields = tuple[tuple[str, str], ...]

_FLAG: Final = bytes((FLAG,))
_IDLE: Final = b"\x00\xff"
_START: Final = bytes((START,))
_LEAST_OCTETS: Final = 8
"""Of the information of a frame that is cut off, to be worth a look."""
_HEAD: Final = 4
"""Start, length, length, start."""


@dataclass(frozen=True, slots=True)
class Framed:
    """One frame.

    Attributes:
        framing: ``wrapper``, ``hdlc``, ``m-bus``, ``wireless m-bus`` or ``llc``.
        summary: What it is, in a word or two.
        fields: Its header, by the names of the standard.
        apdu: The APDU that it holds or completes; None if it does not.
        faults: What is wrong with it.
    """

    framing: str
    summary: str
    fields: Fields
    apdu: bytes | None = None
    faults: tuple[Breach, ...] = ()


Found = Framed | Breach
"""A frame, or what is wrong outside of frames."""


def breach(habit: str, problem: str, octets: bytes, offset: int, clause: str) -> Breach:
    """Return what is wrong with recorded octets."""
    return Breach(DecodeError(problem, octets, offset, clause), habit)


def outside(octets: bytes, start: int, end: int) -> Breach:
    """Return that octets from `start` to `end` belong to no frame."""
    problem = f"{end - start} octets stand outside of a frame"
    return breach("octets-outside", problem, octets, start, CLAUSE_HDLC)


def wrapper(octets: bytes) -> Iterator[Found]:
    """Yield the wrapper frames in `octets`; one that is cut off gives the part that is there."""
    reader = WrapperReader()
    try:
        taken = 0
        for frame in reader.feed(octets):
            rows = ("source", str(frame.source)), ("destination", str(frame.destination))
            taken += WRAPPER_OCTETS + len(frame.apdu)
            yield Framed("wrapper", f"{len(frame.apdu)} octets", rows, frame.apdu)
        reader.end()
    except DecodeError as error:
        if not reader.pending:
            yield Breach(error, "octets-outside" if taken else "")
            return
        part = octets[taken:]
        rows = (
            ("source", str(int.from_bytes(part[2:4]))),
            (
                "destination",
                str(int.from_bytes(part[4:6])),
            ),
        )
        whole = int.from_bytes(part[6:8])
        problem = f"the stream ends after {len(part)} of {WRAPPER_OCTETS + whole} octets"
        fault = breach("truncated-end", problem, octets, len(octets), CLAUSE_WRAPPER)
        apdu = part[WRAPPER_OCTETS:] or None
        yield Framed("wrapper", f"{len(part)} octets", rows, apdu, (fault,))


def hdlc(octets: bytes) -> Iterator[Found]:
    """Yield the HDLC frames in `octets`."""
    segments = _Segments()
    position, end = 0, len(octets)
    if octets and octets[0] != FLAG and _header(octets, 0) is not None:
        problem = "no flag opens the frame"
        yield breach("missing-flags", problem, octets, 0, CLAUSE_HDLC)
        octets, end = _FLAG + octets, end + 1
    while position < end:
        flag = octets.find(_FLAG, position)
        stop = end if flag < 0 else flag
        if octets[position:stop].strip(_IDLE):
            yield outside(octets, position, stop)
        if flag < 0:
            return
        while flag + 1 < end and octets[flag + 1] == FLAG:
            flag += 1
        if flag + 1 == end:
            return
        try:
            header = read_header(octets, flag + 1)
        except DecodeError as error:
            position = _next_flag(octets, flag + 1)
            if octets[flag + 1 : position].strip(_IDLE):
                yield Breach(error, "octets-outside")
            continue
        if header is None or header.end > end:
            position = _next_frame(octets, flag + 1)
            yield _cut_off(octets, (flag, position), header, segments)
            continue
        yield _hdlc_frame(*_checked(octets, header, segments))
        position = header.end


def _cut_off(
    octets: bytes, place: tuple[int, int], header: Header | None, segments: "_Segments"
) -> Found:
    """Return the part of a frame from its flag to where it is cut off."""
    flag, stop = place
    which = "the last frame" if stop == len(octets) else "the frame"
    problem = f"{which} is cut off after {stop - flag} octets"
    fault = breach("truncated-end", problem, octets, stop, CLAUSE_HDLC)
    if header is None:
        return fault
    information = octets[header.information_start : stop]
    if len(information) < _LEAST_OCTETS:
        information = b""
    return _hdlc_frame(_as_frame(header, information), segments, (fault,))


def _header(octets: bytes, start: int) -> Header | None:
    try:
        header = read_header(octets, start)
    except DecodeError:
        return None
    return header if header is not None and header.end <= len(octets) else None


def _next_flag(octets: bytes, start: int) -> int:
    flag = octets.find(_FLAG, start)
    return len(octets) if flag < 0 else flag


def _next_frame(octets: bytes, start: int) -> int:
    """Return where the next flag stands that opens a whole frame; the end if none does."""
    flag = octets.find(_FLAG, start)
    while flag >= 0:
        if _header(octets, flag + 1) is not None:
            return flag
        flag = octets.find(_FLAG, flag + 1)
    return len(octets)


def _as_frame(header: Header, information: bytes) -> Frame:
    return Frame(header.destination, header.source, header.control, information, header.segmented)


def _checked(
    octets: bytes, header: Header, segments: "_Segments"
) -> tuple[Frame, "_Segments", tuple[Breach, ...]]:
    faults: list[Breach] = []
    end = header.end - CHECK_OCTETS
    if (
        header.has_information
        and check_sequence(octets[header.start : end]) != octets[end : header.end]
    ):
        faults.append(breach("bad-fcs", "FCS is wrong", octets, end, CLAUSE_HDLC))
    if header.end == len(octets) or octets[header.end] != FLAG:
        problem = "no flag closes the frame"
        faults.append(breach("missing-flags", problem, octets, header.end, CLAUSE_HDLC))
    information = octets[header.information_start : end] if header.has_information else b""
    return _as_frame(header, information), segments, tuple(faults)


def _hdlc_frame(frame: Frame, segments: "_Segments", faults: tuple[Breach, ...]) -> Framed:
    apdu = None
    fault: DecodeError | None = None
    rows: Fields = (("destination", str(frame.destination)), ("source", str(frame.source)))
    if frame.segmented:
        rows += (("segmentation", f"{len(frame.information)} octets, more follow"),)
    if frame.control.kind in {Kind.SNRM, Kind.UA}:
        segments.clear()
        parameters, fault = _attempt(LinkParameters.decode, frame.information)
        rows += (("parameters", _parameters_text(parameters)),) if parameters else ()
        faults += (Breach(fault),) if fault else ()
    elif frame.control.kind in {Kind.I, Kind.UI}:
        apdu, missing = segments.accept(frame)
        faults += missing
    elif frame.information:
        rows += (("information", frame.information.hex(" ")),)
    return Framed("hdlc", str(frame.control), rows, apdu, faults)


def _parameters_text(parameters: LinkParameters) -> str:
    sizes = (
        f"{parameters.max_information_transmit_octets} octets"
        f" and window {parameters.window_transmit} to transmit"
    )
    return (
        f"{sizes}, {parameters.max_information_receive_octets} octets"
        f" and window {parameters.window_receive} to receive"
    )


@dataclass(slots=True)
class _Segments:
    """Puts together what each sender says to each destination."""

    _parts: dict[tuple[Address, Address, Kind], bytes] = field(default_factory=dict)
    _last: dict[tuple[Address, Address, Kind], int] = field(default_factory=dict)

    def clear(self) -> None:
        """Begin anew: a link was set up."""
        self._parts.clear()
        self._last.clear()

    def accept(self, frame: Frame) -> tuple[bytes | None, tuple[Breach, ...]]:
        """Return the APDU that a frame completes, and what is wrong with it.

        There is no APDU in a frame that was said again, and none before the last segment.
        """
        kind = frame.control.kind
        key = frame.source, frame.destination, kind
        if kind is Kind.I and self._last.get(key) == frame.control.send_number:
            return None, ()
        self._last[key] = frame.control.send_number
        information = self._parts.pop(key, b"") + frame.information
        if frame.segmented:
            self._parts[key] = information
            return None, ()
        if not information:
            return None, ()
        if kind is Kind.UI:
            return take_off_if_there(information), ()
        apdu, fault = _attempt(take_off, information)
        if fault is None:
            return apdu, ()
        return information, (Breach(fault, "missing-llc"),)


def mbus(octets: bytes) -> Iterator[Found]:
    """Yield the long frames of wired M-Bus in `octets`."""
    assembler = MbusAssembler()
    position, end = 0, len(octets)
    while position < end:
        start = octets.find(_START, position)
        while 0 <= start < end - 3 and octets[start + 3] != START:
            start = octets.find(_START, start + 1)
        if start < 0 or start >= end - 3:
            yield outside(octets, position, end)
            return
        if start > position:
            yield outside(octets, position, start)
        stop, faults = _mbus_stop(octets, start)
        body = octets[start + _HEAD : stop]
        position = min(end, stop + 2)
        if len(body) < HEADER_OCTETS:
            problem = f"the frame ends after {len(body)} octets, inside its header"
            yield breach("truncated-end", problem, octets, stop, CLAUSE_MBUS)
            continue
        if stop + 1 < end and sum(body) & 0xFF != octets[stop]:
            problem = f"checksum is {octets[stop]:02X}, not {sum(body) & 0xFF:02X}"
            faults += (breach("bad-checksum", problem, octets, stop, CLAUSE_MBUS),)
        yield _mbus_frame(octets, start, body, assembler, faults)


def _mbus_stop(octets: bytes, start: int) -> tuple[int, tuple[Breach, ...]]:
    """Return where the checksum of the frame at `start` stands, and what is wrong with that."""
    first, second = octets[start + 1], octets[start + 2]
    for length in (first, second):
        stop = start + _HEAD + length
        if octets[stop + 1 : stop + 2] == bytes((STOP,)):
            if first == second:
                return stop, ()
            problem = f"the length is {first} and then {second}"
            return stop, (breach("wrong-length", problem, octets, start + 2, CLAUSE_MBUS),)
    if first == second and start + _HEAD + first + 2 > len(octets):
        problem = f"the last frame is cut off after {len(octets) - start} octets"
        return len(octets), (breach("truncated-end", problem, octets, len(octets), CLAUSE_MBUS),)
    following = octets.find(_START, start + _HEAD + HEADER_OCTETS)
    while 0 <= following < len(octets) - 3 and octets[following + 3] != START:
        following = octets.find(_START, following + 1)
    if following < 0 or following >= len(octets) - 3:
        following = len(octets)
    stop = octets.rfind(bytes((STOP,)), start + _HEAD, following) - 1
    if stop < start + _HEAD:
        stop = following
    problem = f"the length is {first}, but {stop - start - _HEAD} octets stand up to the checksum"
    return stop, (breach("wrong-length", problem, octets, start + 1, CLAUSE_MBUS),)


def _mbus_frame(
    octets: bytes, start: int, body: bytes, assembler: MbusAssembler, faults: tuple[Breach, ...]
) -> Framed:
    control, address, ci, source, destination = body[:HEADER_OCTETS]
    rows: Fields = (("control", f"{control:02X}"), ("address", f"{address:02X}"))
    summary = f"{len(body) - HEADER_OCTETS} octets"
    if ci > LARGEST_CI:
        problem = f"CI is {ci:02X}, not the DLMS transport 00 to 1F"
        fault = breach("", problem, octets, start + _HEAD + 2, "EN 13757-3, DLMS transport")
        return Framed("m-bus", summary, rows, None, (*faults, fault))
    last = bool(ci & LAST_SEGMENT)
    segment = ci & 0x0F
    if len(body) <= 0xFF:
        frame = MbusFrame(
            Sap(source), Sap(destination), body[HEADER_OCTETS:], segment, last, control, address
        )
        apdu, missing = _attempt(assembler.accept, frame)
    else:  # a length octet that is wrong: such a frame stands alone
        apdu, missing = body[HEADER_OCTETS:], None
    if missing is not None:
        faults += (Breach(missing, "missing-segment"),)
    rows += (
        ("source", str(source)),
        ("destination", str(destination)),
        ("segment", f"{segment}{', the last' if last else ''}"),
    )
    return Framed("m-bus", summary, rows, apdu, faults)


def _attempt(act: Callable[[A], B], given: A) -> tuple[B | None, DecodeError | None]:
    try:
        return act(given), None
    except DecodeError as error:
        return None, error
