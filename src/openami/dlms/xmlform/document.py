# SPDX-License-Identifier: Apache-2.0
"""Octets to an XML document and back, exactly: frames, APDUs, values, and what is none of them.

::

    <openami xmlns="urn:openami:apdu:1">
      <wrapper source="16" destination="1">
        <get-request-normal> … </get-request-normal>
      </wrapper>
    </openami>

What the document says is written anew from its elements; the attribute ``octets`` of an APDU or a
frame, which stands where that would give other octets than the ones read, counts more than they.
"""

from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Final

from openami.dlms import data
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import CONTROLS, Kind
from openami.dlms.hdlc.frame import FLAG, Frame, read_header
from openami.dlms.hdlc.llc import OCTETS as LLC_OCTETS
from openami.dlms.hdlc.llc import take_off_if_there
from openami.dlms.mbus import FRAME_OCTETS, START, MbusFrame
from openami.dlms.recordings import framings
from openami.dlms.sap import Sap
from openami.dlms.wrapper import HEADER_OCTETS, VERSION, WrapperFrame
from openami.dlms.xmlform import values
from openami.dlms.xmlform.element import Element, read, write
from openami.dlms.xmlform.messages import EXACT, MESSAGES, OCTETS, apdu_element, apdu_octets

ROOT: Final = "openami"
SHARED: Final = "shared"
"""Value of the attribute ``flag`` of a frame whose opening flag closes the frame before."""

_FLAG: Final = bytes((FLAG,))


def to_xml(octets: bytes, framing: str | None = None) -> str:
    """Return octets as an XML document.

    Args:
        octets: Frames, an APDU, a value, or anything else.
        framing: One of `framings.FRAMINGS`; None finds it out.
    """
    name = framings.detect(octets) if framing is None else framing
    children = list(_FRAMES.get(name, _bare)(octets))
    root = Element(ROOT, children=children)
    if _octets_of(root) != octets:  # no frame of this framing comes out as it went in
        root.children = [Element(OCTETS, text=octets.hex())]
    return write(root)


def from_xml(text: str) -> bytes:
    """Return the octets that an XML document says.

    Raises:
        XmlError: The text is not well formed, or no such document; the sentence tells the line.
    """
    root = read(text)
    if root.name != ROOT:
        raise root.refusal(f"is not the root of this form, which is <{ROOT}>")
    return _octets_of(root)


def _octets_of(root: Element) -> bytes:
    return b"".join(_item_octets(child) for child in root.children)


def _item_octets(element: Element) -> bytes:
    if element.name in FRAMES:
        if EXACT in element.attributes:
            return values.from_hex(element, element.attributes[EXACT])
        try:
            return FRAMES[element.name](element)
        except OverflowError as error:
            raise element.refusal(f"cannot be encoded: {error}") from None
    if element.name == OCTETS or element.name in MESSAGES:
        return apdu_octets(element)
    return data.encode(values.from_element(element))


def _bare(octets: bytes) -> Iterator[Element]:
    element = apdu_element(octets)
    if element.name == OCTETS:
        try:
            value = data.decode(octets)
            if data.encode(value) == octets:
                element = values.to_element(value)
        except DecodeError:
            pass
    yield element


def _inside(octets: bytes) -> list[Element]:
    """Return what a frame holds: LLC header and APDU, or octets."""
    apdu = take_off_if_there(octets)
    if len(apdu) == len(octets):
        return [apdu_element(octets)] if octets else []
    return [Element("llc", text=octets[:LLC_OCTETS].hex()), apdu_element(apdu)]


def _contents(element: Element) -> bytes:
    """Return what the elements of a frame hold."""
    return b"".join(
        values.octets_of(child) if child.name == "llc" else apdu_octets(child)
        for child in element.children
    )


def _number(element: Element, name: str, default: int | None = None) -> int:
    text = element.attributes.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "", 0)
    except ValueError:
        raise element.refusal(f"has {name}={text!r}: give a number") from None


def _exactly(element: Element, octets: bytes) -> Element:
    """Return a frame's element; with its octets where its fields would give others."""
    if FRAMES[element.name](element) != octets:
        element.attributes[EXACT] = octets.hex()
    return element


def _loose(octets: bytes) -> Iterator[Element]:
    if octets:
        yield Element(OCTETS, text=octets.hex())


# Wrapper frames.


def _wrapper(octets: bytes) -> Iterator[Element]:
    at = 0
    while octets[at : at + 2] == VERSION.to_bytes(2):
        length = int.from_bytes(octets[at + 6 : at + HEADER_OCTETS])
        end = at + HEADER_OCTETS + length
        if not length or end > len(octets):
            break
        frame = WrapperFrame.decode(octets[at:end])
        attributes = {"source": str(frame.source), "destination": str(frame.destination)}
        yield Element("wrapper", attributes, children=[apdu_element(frame.apdu)])
        at = end
    yield from _loose(octets[at:])


def _wrapper_octets(element: Element) -> bytes:
    source, destination = _number(element, "source"), _number(element, "destination")
    apdu = apdu_octets(element.only_child())
    if not (0 <= source <= 0xFFFF and 0 <= destination <= 0xFFFF):
        raise element.refusal("has a wPort that is not 0 to 65535")
    try:
        return WrapperFrame(Sap(source), Sap(destination), apdu).encode()
    except ValueError as error:
        raise element.refusal(str(error)) from None


# HDLC frames.


def _hdlc(octets: bytes) -> Iterator[Element]:
    position = 0
    shared = False
    while position < len(octets):
        start = position if shared else position + 1
        if not shared and octets[position] != FLAG:
            following = octets.find(_FLAG, position)
            following = len(octets) if following < 0 else following
            yield from _loose(octets[position:following])
            position = following
            continue
        end = _frame_end(octets, start)
        if end is None:
            following = octets.find(_FLAG, start)
            following = len(octets) if following < 0 else following
            shared = False
            yield from _loose(octets[position:following])
            position = following
            continue
        yield _hdlc_element(octets[start : end + 1], shared=shared)
        position = end + 1
        shared = octets[position : position + 1] != _FLAG


def _frame_end(octets: bytes, start: int) -> int | None:
    """Return where the flag stands that closes the frame at `start`; None if none is there."""
    try:
        header = read_header(octets, start)
        if header is None or octets[header.end : header.end + 1] != _FLAG:
            return None
        header.frame(octets)
    except DecodeError:
        return None
    return header.end


def _hdlc_element(octets: bytes, *, shared: bool) -> Element:
    frame = Frame.decode(_FLAG + octets)
    attributes = {
        "destination": _address_text(frame.destination),
        "source": _address_text(frame.source),
        "control": f"0x{frame.control.octet:02X}",
        "name": str(frame.control),
    }
    if frame.segmented:
        attributes["segmented"] = "true"
    if shared:
        attributes["flag"] = SHARED
    whole = frame.control.kind in {Kind.I, Kind.UI} and not frame.segmented
    children = _inside(frame.information) if whole else list(_loose(frame.information))
    return _exactly(Element("hdlc", attributes, children=children), _FLAG[shared:] + octets)


def _address_text(address: Address) -> str:
    """Return ``upper`` of 1 octet, ``upper.lower`` of 2, or ``upper.lower/4``."""
    if address.size == 1:
        return str(address.upper)
    text = f"{address.upper}.{address.lower}"
    return text if address.size == 2 else f"{text}/{address.size}"


def _address(element: Element, name: str) -> Address:
    text = element.attributes.get(name, "")
    parts, _, size = text.partition("/")
    upper, _, lower = parts.partition(".")
    try:
        octets = int(size) if size else 2 if lower else 1
        return Address(int(upper, 0), int(lower, 0) if lower else 0, octets).checked()
    except ValueError:
        problem = f"has {name}={text!r}: give an HDLC address, such as 16, 1.17 or 1.17/4"
        raise element.refusal(problem) from None


def _hdlc_octets(element: Element) -> bytes:
    control = _number(element, "control")
    if not 0 <= control <= 0xFF:
        raise element.refusal(f"has control={control}: it is one octet")
    frame = Frame(
        _address(element, "destination"),
        _address(element, "source"),
        CONTROLS[control],
        _contents(element),
        element.attributes.get("segmented") == "true",
    )
    try:
        octets = frame.encode()
    except ValueError as error:
        raise element.refusal(str(error)) from None
    return octets[element.attributes.get("flag") == SHARED :]


# M-Bus frames.


def _mbus(octets: bytes) -> Iterator[Element]:
    at = 0
    while octets[at : at + 1] == bytes((START,)) and at + 2 < len(octets):
        end = at + octets[at + 1] + FRAME_OCTETS
        try:
            frame = MbusFrame.decode(octets[at:end])
        except DecodeError:
            break
        attributes = {
            "source": str(frame.source),
            "destination": str(frame.destination),
            "segment": str(frame.segment),
            "last": "true" if frame.last else "false",
            "control": f"0x{frame.control:02X}",
            "address": f"0x{frame.address:02X}",
        }
        whole = frame.last and not frame.segment
        children = [apdu_element(frame.data)] if whole else list(_loose(frame.data))
        yield _exactly(Element("m-bus", attributes, children=children), octets[at:end])
        at = end
    yield from _loose(octets[at:])


def _mbus_octets(element: Element) -> bytes:
    names = ("source", "destination", "segment", "control", "address")
    defaults = (None, None, 0, 0x53, 0xFF)
    numbers = {
        name: _number(element, name, default) for name, default in zip(names, defaults, strict=True)
    }
    for name, number in numbers.items():
        if not 0 <= number <= (0x0F if name == "segment" else 0xFF):
            raise element.refusal(f"has {name}={number}, which does not fit")
    frame = MbusFrame(
        Sap(numbers["source"]),
        Sap(numbers["destination"]),
        _contents(element),
        numbers["segment"],
        element.attributes.get("last", "true") == "true",
        numbers["control"],
        numbers["address"],
    )
    try:
        return frame.encode()
    except ValueError as error:
        raise element.refusal(str(error)) from None


_FRAMES: Final[MappingProxyType[str, Callable[[bytes], Iterator[Element]]]] = MappingProxyType(
    {"wrapper": _wrapper, "hdlc": _hdlc, "mbus": _mbus}
)
FRAMES: Final[MappingProxyType[str, Callable[[Element], bytes]]] = MappingProxyType(
    {"wrapper": _wrapper_octets, "hdlc": _hdlc_octets, "m-bus": _mbus_octets}
)
"""What writes a frame from its element."""
