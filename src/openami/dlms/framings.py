# SPDX-License-Identifier: Apache-2.0
"""Recorded octets to frames and the APDUs in them, whatever the framing.

Wrapper frames begin with 0001, HDLC frames with 7E, wired M-Bus frames with 68; no APDU begins with
any of these.  An APDU that came in several frames is put together and stands with the last one.
This is for reading what was recorded: states, windows and who may say what are not judged.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind
from openami.dlms.hdlc.frame import FLAG, Frame
from openami.dlms.hdlc.llc import take_off, take_off_if_there
from openami.dlms.hdlc.parameters import LinkParameters
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.mbus import START, MbusAssembler, MbusFrame, MbusReader
from openami.dlms.wrapper import HEADER_OCTETS, VERSION, WrapperReader

A = TypeVar("A")
B = TypeVar("B")

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Framed:
    """One frame.

    Attributes:
        framing: ``wrapper``, ``hdlc`` or ``m-bus``.
        summary: What it is, in a word or two.
        fields: Its header, by the names of the standard.
        apdu: The APDU that it holds or completes; None if it does not.
        fault: What is wrong with what it holds.
    """

    framing: str
    summary: str
    fields: Fields
    apdu: bytes | None = None
    fault: DecodeError | None = None


Found = Framed | DecodeError


def frames(octets: bytes) -> Iterator[Found] | None:
    """Return the frames in `octets`, and what is wrong between them; None for a bare APDU."""
    if len(octets) >= HEADER_OCTETS and int.from_bytes(octets[:2]) == VERSION:
        return _wrapper(octets)
    if octets[:1] == bytes((FLAG,)):
        return _hdlc(octets)
    if octets[:1] == octets[3:4] == bytes((START,)) and octets[1:2] == octets[2:3]:
        return _mbus(octets)
    return None


def _wrapper(octets: bytes) -> Iterator[Found]:
    reader = WrapperReader()
    try:
        for frame in reader.feed(octets):
            rows = ("source", str(frame.source)), ("destination", str(frame.destination))
            yield Framed("wrapper", f"{len(frame.apdu)} octets", rows, frame.apdu)
        reader.end()
    except DecodeError as error:
        yield error


def _mbus(octets: bytes) -> Iterator[Found]:
    reader, assembler = MbusReader(), MbusAssembler()
    for found in reader.feed(octets):
        if isinstance(found, DecodeError):
            yield found
            continue
        apdu, fault = _attempt(assembler.accept, found)
        yield Framed("m-bus", f"{len(found.data)} octets", _mbus_fields(found), apdu, fault)
    if reader.pending:
        problem = f"the last frame is cut off after {reader.pending} octets"
        yield DecodeError(problem, octets, len(octets), "EN 13757-2, 5.2")


def _mbus_fields(frame: MbusFrame) -> Fields:
    return (
        ("control", f"{frame.control:02X}"),
        ("address", f"{frame.address:02X}"),
        ("source", str(frame.source)),
        ("destination", str(frame.destination)),
        ("segment", f"{frame.segment}{', the last' if frame.last else ''}"),
    )


def _hdlc(octets: bytes) -> Iterator[Found]:
    reader, segments = FrameReader(), _Segments()
    for found in reader.feed(octets) + reader.expire():
        if isinstance(found, DecodeError):
            yield found
            continue
        what = found.control
        apdu, fault = None, None
        rows = _hdlc_fields(found)
        if what.kind in {Kind.SNRM, Kind.UA}:
            segments.clear()
            parameters, fault = _attempt(LinkParameters.decode, found.information)
            rows += (("parameters", _parameters_text(parameters)),) if parameters else ()
        elif what.kind in {Kind.I, Kind.UI}:
            apdu, fault = _attempt(segments.accept, found)
        elif found.information:
            rows += (("information", found.information.hex(" ")),)
        yield Framed("hdlc", str(what), rows, apdu, fault)


def _hdlc_fields(frame: Frame) -> Fields:
    rows: Fields = (("destination", str(frame.destination)), ("source", str(frame.source)))
    if frame.segmented:
        rows += (("segmentation", f"{len(frame.information)} octets, more follow"),)
    return rows


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

    def accept(self, frame: Frame) -> bytes | None:
        """Return the APDU that a frame completes; None for one that was said again.

        Raises:
            DecodeError: No LLC header stands where one must.
        """
        kind = frame.control.kind
        key = frame.source, frame.destination, kind
        if kind is Kind.I and self._last.get(key) == frame.control.send_number:
            return None
        self._last[key] = frame.control.send_number
        information = self._parts.pop(key, b"") + frame.information
        if frame.segmented:
            self._parts[key] = information
            return None
        if not information:
            return None
        return take_off(information) if kind is Kind.I else take_off_if_there(information)


def _attempt(act: Callable[[A], B], given: A) -> tuple[B | None, DecodeError | None]:
    try:
        return act(given), None
    except DecodeError as error:
        return None, error
