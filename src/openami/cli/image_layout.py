# SPDX-License-Identifier: Apache-2.0
"""An image drawn as it lies in its slot, and the same for programs."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from openami.firmware.bootrecord import BootRecord
from openami.firmware.image import HEADER, Dependency, Image
from openami.firmware.tlv import ENTRY, INFO, SIGNATURES, Tlv, TlvType, encode_area
from openami.firmware.tlv import Area as TlvArea
from openami.firmware.trailer import Trailer

WIDTH: Final = 34
RULE: Final = "+" + "-" * (WIDTH + 2) + "+"
SHOWN_OCTETS: Final = 16


class Part(NamedTuple):
    """One part of an image: where it begins, how long it is, and what it says."""

    offset: int
    octets: int
    name: str
    value: str = ""
    inside: bool = False


def parts(image: Image) -> Iterator[Part]:
    """Yield the parts of an image in their order."""
    header = image.header
    flags = " ".join(flag.name or "" for flag in header.flags) or "no flags"
    at = f", at {header.load_addr:#x}" if header.load_addr else ""
    yield Part(0, HEADER.size, "header", f"version {header.version}, {flags}{at}")
    if image.padding:
        yield Part(HEADER.size, len(image.padding), "padding of the header")
    marked = f"marked as AES-{header.key_octets * 8}" if header.key_octets else "clear"
    yield Part(header.hdr_size, header.img_size, "payload", marked)
    offset = header.payload_end
    for area, tlvs in (
        (TlvArea.PROTECTED, image.protected),
        (TlvArea.UNPROTECTED, image.unprotected),
    ):
        size = len(encode_area(area, tlvs))
        if size:
            yield Part(offset, size, f"{area.word} TLVs", f"magic {area.value:04X}")
            at_entry = offset + INFO.size
            for tlv in tlvs:
                length = ENTRY.size + len(tlv.value)
                yield Part(at_entry, length, tlv.name, meaning(tlv), inside=True)
                at_entry += length
        offset += size
    yield from _rest(image, offset)


def _rest(image: Image, offset: int) -> Iterator[Part]:
    trailer = image.trailer
    size = 0 if trailer is None else Trailer.octets_of(trailer.align)
    erased = len(image.rest) - size
    if erased:
        yield Part(offset, erased, "erased", "FF")
    if trailer is not None:
        asked = f"asks for a {trailer.request} swap"
        yield Part(offset + erased, size, "trailer", f"{asked}, alignment {trailer.align}")


def meaning(tlv: Tlv) -> str:
    """Return what an entry says, for people."""
    match tlv.type:
        case TlvType.SEC_CNT:
            return str(int.from_bytes(tlv.value, "little"))
        case TlvType.DEPENDENCY:
            dependency = Dependency.decode(tlv.value)
            return f"image {dependency.image_id}, {dependency.least} or later"
        case TlvType.BOOT_RECORD:
            record = BootRecord.decode(tlv.value)
            return f"{record.sw_type} {record.version}, signer {record.signer_id.hex()[:16]}…"
        case number if number in SIGNATURES:
            return ""
    shown = tlv.value[:SHOWN_OCTETS].hex()
    return shown + ("…" if len(tlv.value) > SHOWN_OCTETS else "")


def drawing(image: Image) -> Iterator[str]:
    """Yield the lines of the drawing."""
    end = 0
    for part in parts(image):
        if not part.inside:
            yield f"{' ' * 9}{RULE}"
        name = f"  {part.name}" if part.inside else part.name
        size = f"{part.octets:,}"
        inside = f"{name}{size.rjust(WIDTH - len(name))}"
        yield f"{part.offset:08x} | {inside} | {part.value}".rstrip()
        end = max(end, part.offset + part.octets)
    yield f"{' ' * 9}{RULE}"
    yield f"{end:08x}"


def as_json(image: Image) -> dict[str, object]:
    """Return an image for programs."""
    header, trailer = image.header, image.trailer
    return {
        "version": str(header.version),
        "security_counter": image.security_counter,
        "flags": [flag.name for flag in header.flags],
        "load_addr": header.load_addr,
        "header_octets": header.hdr_size,
        "payload_octets": header.img_size,
        "image_octets": image.size,
        "protected": [_entry(tlv) for tlv in image.protected],
        "unprotected": [_entry(tlv) for tlv in image.unprotected],
        "trailer": None if trailer is None else {"align": trailer.align, "asks": trailer.request},
    }


def _entry(tlv: Tlv) -> dict[str, object]:
    return {"type": tlv.type, "name": tlv.name, "value": tlv.value.hex()}
