# SPDX-License-Identifier: Apache-2.0
import struct
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.made import image_of
from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import (
    ENCRYPTED,
    NO_FLAGS,
    Dependency,
    Header,
    Image,
    ImageFlag,
    Version,
)
from openami.firmware.sign import padded
from openami.firmware.tlv import RULES, Area, Rule, Tlv, TlvType, encode_area
from openami.firmware.trailer import ALIGNMENTS, Trailer, trailer_octets

IMAGE = image_of(octets=200)
OCTETS = IMAGE.encode()

versions = st.builds(
    Version,
    st.integers(0, 0xFF),
    st.integers(0, 0xFF),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
)


def refusal(octets: bytes, room: int | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        Image.decode(octets, room=room)
    return caught.value


def patched(offset: int, form: str, *values: int) -> bytes:
    octets = bytearray(OCTETS)
    struct.pack_into(form, octets, offset, *values)
    return bytes(octets)


@given(versions)
def test_a_version_is_read_as_it_is_written(version: Version) -> None:
    assert Version.parse(str(version)) == version


@pytest.mark.parametrize(
    ("text", "problem"),
    [("1.2.x", "is no version"), ("", "is no version"), ("256.0.0", "more than 8 bits")],
)
def test_a_version_that_does_not_fit_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Version.parse(text)


def entries(area: Area) -> st.SearchStrategy[tuple[Tlv, ...]]:
    """Any entries that `RULES` allow in an area, without those whose values are judged."""
    judged = {TlvType.DEPENDENCY}
    kinds = [
        (number, rule)
        for number, rule in RULES.items()
        if rule.area is area and number not in judged
    ]

    def one(kind: tuple[TlvType, Rule]) -> st.SearchStrategy[Tlv]:
        number, rule = kind
        lengths = st.sampled_from(list(rule.lengths)[:40])
        return lengths.flatmap(
            lambda size: st.binary(min_size=size, max_size=size).map(lambda v: Tlv(number, v))
        )

    each = st.sampled_from(kinds).flatmap(one)
    return st.lists(each, max_size=5, unique_by=lambda tlv: tlv.type).map(tuple)


@st.composite
def images(draw: st.DrawFn) -> Image:
    protected = draw(entries(Area.PROTECTED))
    needs = draw(
        st.lists(
            st.builds(Dependency, st.integers(0, 255), versions),
            max_size=3,
            unique_by=lambda need: need.image_id,
        )
    )
    protected += tuple(Tlv(TlvType.DEPENDENCY, need.encode()) for need in needs)
    payload = draw(st.binary(min_size=1, max_size=100))
    padding = draw(st.binary(max_size=40))
    flags = draw(st.sampled_from([NO_FLAGS, *ImageFlag]))
    return Image(
        header=Header(
            load_addr=draw(st.integers(0, 0xFFFFFFFF)),
            hdr_size=32 + len(padding),
            protect_tlv_size=len(encode_area(Area.PROTECTED, protected)),
            img_size=len(payload),
            flags=flags,
            version=draw(versions),
        ),
        padding=padding,
        payload=payload,
        protected=protected,
        unprotected=draw(entries(Area.UNPROTECTED)),
        rest=b"\xff" * draw(st.integers(0, 40)),
    )


@given(images())
def test_decode_inverts_encode(image: Image) -> None:
    assert Image.decode(image.encode()) == image
    assert image.size + len(image.rest) == len(image.encode())


def test_every_truncation_is_refused() -> None:
    for end in range(len(OCTETS)):
        assert refusal(OCTETS[:end]).reason is Reason.TRUNCATED


def test_a_slot_that_is_one_octet_too_small_is_told() -> None:
    assert Image.decode(OCTETS, room=len(OCTETS)) == IMAGE
    for room in range(len(OCTETS)):
        assert refusal(OCTETS, room).reason is Reason.TOO_LARGE
        assert refusal(OCTETS + b"\xff" * 500, room).reason is Reason.TOO_LARGE


@given(st.binary(max_size=200))
def test_any_octets_decode_or_are_refused(octets: bytes) -> None:
    for front in (b"", OCTETS[:4], OCTETS[:264], OCTETS[: IMAGE.header.payload_end]):
        with suppress(ImageError):
            assert Image.decode(front + octets).encode() == front + octets


@given(st.integers(0, len(OCTETS) - 1), st.integers(1, 255))
def test_an_octet_that_was_changed_is_refused_or_shown(at: int, change: int) -> None:
    octets = bytearray(OCTETS)
    octets[at] ^= change
    try:
        found = Image.decode(bytes(octets))
    except ImageError:
        return
    assert found.encode() == bytes(octets)
    assert found != IMAGE


PROTECTED = IMAGE.header.payload_end
UNPROTECTED = PROTECTED + IMAGE.header.protect_tlv_size


@pytest.mark.parametrize(
    ("octets", "reason", "place"),
    [
        (b"", Reason.TRUNCATED, "octet 0"),
        (b"\xff" * 100, Reason.NO_IMAGE, "octet 0"),
        (b"\x7fELF" + bytes(100), Reason.MAGIC, "octet 0"),
        (patched(8, "<H", 31), Reason.HEADER, "octet 8"),
        (patched(8, "<H", 0), Reason.HEADER, "octet 8"),
        (patched(12, "<I", 0), Reason.HEADER, "octet 12"),
        (patched(28, "<I", 1), Reason.HEADER, "octet 28"),
        (patched(16, "<I", 0x2), Reason.FLAGS, "octet 16"),
        (patched(16, "<I", ENCRYPTED), Reason.FLAGS, "octet 16"),
        (patched(16, "<I", 0x120), Reason.FLAGS, "octet 16"),
        (patched(12, "<I", 0xFFFFFFFF), Reason.TRUNCATED, f"octet {len(OCTETS)}"),
        (patched(10, "<H", 0xFFFF), Reason.TRUNCATED, f"octet {len(OCTETS)}"),
        (patched(10, "<H", 0), Reason.TLV_MAGIC, f"octet {PROTECTED}"),
        (patched(10, "<H", 13), Reason.TLV_SIZE, f"octet {PROTECTED + 2}"),
        (patched(PROTECTED, "<H", 0x6907), Reason.TLV_MAGIC, f"octet {PROTECTED}"),
        (patched(PROTECTED + 2, "<H", 3), Reason.TLV_SIZE, f"octet {PROTECTED + 2}"),
        (patched(PROTECTED + 2, "<H", 11), Reason.TLV_SIZE, f"octet {PROTECTED + 6}"),
        (patched(PROTECTED + 6, "<H", 0xFFFF), Reason.TLV_SIZE, f"octet {PROTECTED + 6}"),
        (patched(PROTECTED + 6, "<H", 3), Reason.TLV_LENGTH, f"octet {PROTECTED + 6}"),
        (patched(PROTECTED + 4, "<H", 0x10), Reason.TLV_PROTECTED, f"octet {PROTECTED + 4}"),
        (patched(PROTECTED + 4, "<H", 0x51), Reason.TLV_UNKNOWN, f"octet {PROTECTED + 4}"),
        (patched(PROTECTED + 4, "<H", 0xFFFF), Reason.TLV_UNKNOWN, f"octet {PROTECTED + 4}"),
        (patched(UNPROTECTED, "<H", 0x6908), Reason.TLV_MAGIC, f"octet {UNPROTECTED}"),
        (patched(UNPROTECTED + 4, "<H", 0xA0), Reason.TLV_UNPROTECTED, f"octet {UNPROTECTED + 4}"),
        (OCTETS + b"\xff" * 20 + b"\x00", Reason.TRAILING, f"octet {len(OCTETS) + 20}"),
        (OCTETS + OCTETS, Reason.TRAILING, f"octet {len(OCTETS)}"),
    ],
)
def test_each_rule_has_its_reason_and_place(octets: bytes, reason: Reason, place: str) -> None:
    found = refusal(octets)
    assert (found.reason, found.place) == (reason, place)


def with_entries(area: Area, *more: Tlv) -> bytes:
    protected, unprotected = IMAGE.protected, IMAGE.unprotected
    if area is Area.PROTECTED:
        protected += more
    else:
        unprotected += more
    header = replace(IMAGE.header, protect_tlv_size=len(encode_area(Area.PROTECTED, protected)))
    return replace(IMAGE, header=header, protected=protected, unprotected=unprotected).encode()


@pytest.mark.parametrize("number", [n for n, rule in RULES.items() if not rule.repeats])
def test_a_type_that_comes_once_is_refused_twice(number: TlvType) -> None:
    rule = RULES[number]
    size = min(rule.lengths)
    twice = [Tlv(number, bytes(size)), Tlv(number, b"\x01" * size)]
    assert refusal(with_entries(rule.area, *twice)).reason is Reason.TLV_DUPLICATE


@pytest.mark.parametrize("number", list(RULES))
def test_each_type_stands_in_one_area_with_its_length(number: TlvType) -> None:
    rule = RULES[number]
    other = Area.PROTECTED if rule.area is Area.UNPROTECTED else Area.UNPROTECTED
    misplaced = refusal(with_entries(other, Tlv(number, bytes(min(rule.lengths)))))
    assert misplaced.reason in {Reason.TLV_PROTECTED, Reason.TLV_UNPROTECTED}
    longer = refusal(with_entries(rule.area, Tlv(number, bytes(max(rule.lengths) + 1))))
    assert longer.reason is Reason.TLV_LENGTH


def test_dependencies_on_one_image_are_refused() -> None:
    needs = [Tlv(TlvType.DEPENDENCY, Dependency(1, Version(n)).encode()) for n in (1, 2)]
    assert refusal(with_entries(Area.PROTECTED, *needs)).reason is Reason.TLV_DUPLICATE
    odd = Tlv(TlvType.DEPENDENCY, b"\x01\x01" + bytes(10))
    assert refusal(with_entries(Area.PROTECTED, odd)).reason is Reason.TLV_VALUE


@pytest.mark.parametrize("align", ALIGNMENTS)
@pytest.mark.parametrize("confirmed", [False, True])
def test_a_padded_image_has_its_trailer(align: int, confirmed: bool) -> None:  # noqa: FBT001
    filled = padded(IMAGE, 0x8000, align=align, confirmed=confirmed)
    found = Image.decode(filled.encode())
    assert len(filled.encode()) == 0x8000
    assert found.trailer is not None
    assert (found.trailer.align, found.trailer.image_ok) == (align, confirmed)
    assert found.trailer.request == ("permanent" if confirmed else "test")
    assert found.encode() == filled.encode()
    odd = bytearray(filled.encode())
    odd[-39] = 0  # beside a flag
    assert refusal(bytes(odd)).reason is Reason.TRAILING


def test_an_image_that_leaves_no_room_for_its_trailer_is_not_padded() -> None:
    least = len(OCTETS) + trailer_octets(8)
    assert Trailer.find(padded(IMAGE, least).rest) is not None
    with pytest.raises(ValueError, match="exceed the slot"):
        padded(IMAGE, least - 1)
