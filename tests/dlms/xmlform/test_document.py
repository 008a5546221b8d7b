# SPDX-License-Identifier: Apache-2.0
"""Octets to XML and back: every vector, every class, every type, frames; what is wrong by line."""

import contextlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmsvalues import apdus, values
from openami.dlms import data
from openami.dlms.apdu import registry
from openami.dlms.gateway import GatewayRequest
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.mbus import cut
from openami.dlms.sap import Sap
from openami.dlms.wrapper import WrapperFrame
from openami.dlms.xmlform import schema
from openami.dlms.xmlform.document import from_xml, to_xml
from openami.dlms.xmlform.element import NAMESPACE, XmlError
from openami.dlms.xmlform.messages import MESSAGES
from openami.dlms.xmlform.values import DATA, hyphened

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
GET = bytes.fromhex("c001c100080000010000ff0200")


def recorded() -> Iterator[Any]:
    for path in sorted(VECTORS.rglob("*.toml")):
        for row in tomllib.loads(path.read_text(encoding="utf-8")).get("vector", []):
            octets = row.get("octets")
            if isinstance(octets, str):
                yield pytest.param(bytes.fromhex(octets), id=f"{path.stem} {row['name']}")


@pytest.mark.parametrize("octets", list(recorded()))
def test_every_vector_comes_back(octets: bytes) -> None:
    assert from_xml(to_xml(octets)) == octets


@given(st.one_of(*apdus.values()))
def test_every_apdu_comes_back_from_its_fields(message: Any) -> None:
    octets = message.encode()
    text = to_xml(octets, framing="none")

    assert f"<{hyphened(type(message).__name__)}" in text
    assert " octets=" not in text
    assert from_xml(text) == octets


@given(values)
def test_every_value_comes_back(value: Any) -> None:
    octets = b"\x02\x01" + data.encode(value)

    assert from_xml(to_xml(octets, framing="none")) == octets


@given(st.binary(max_size=80), st.sampled_from(["", "7ea0", "0001", "68060668", "c401c100"]))
def test_any_octets_come_back(octets: bytes, head: str) -> None:
    whole = bytes.fromhex(head) + octets

    assert from_xml(to_xml(whole)) == whole


def ui(information: bytes, size: int = 1) -> bytes:
    address = Address(1, 0 if size == 1 else 17, size)
    return Frame(Address(16), address, control(Kind.UI), information).encode()


@pytest.mark.parametrize(
    ("octets", "parts"),
    [
        (
            WrapperFrame(Sap(16), Sap(1), GET).encode() * 2,
            ['<wrapper source="16" destination="1">'],
        ),
        (ui(b"\xe6\xe6\x00" + GET), ['source="1"', "<llc>e6e600</llc>", "<get-request-normal>"]),
        (ui(GET, 4), ['source="1.17/4"']),
        (ui(GET, 2) + ui(GET)[1:], ['source="1.17"', 'flag="shared"']),
        (b"\x55" + ui(GET) + ui(GET)[:9], ["<octets>55</octets>"]),
        (cut(Sap(1), Sap(103), GET)[0].encode(), ['<m-bus source="1" destination="103"']),
        (
            b"".join(each.encode() for each in cut(Sap(1), Sap(103), bytes(400))),
            ['segment="1" last="true"'],
        ),
        (
            GatewayRequest(physical_address=b"OAM", apdu=GET).encode(),
            ["<gateway-request>", "<physical-address>4f414d</physical-address>"],
        ),
        (b"\x06\x00\x00\x00\x05", ["<double-long-unsigned>5</double-long-unsigned>"]),
        (b"\x55\x55", ["<octets>5555</octets>"]),
        (b"", []),
    ],
)
def test_what_stands_around_is_written(octets: bytes, parts: list[str]) -> None:
    text = to_xml(octets)

    assert [part for part in parts if part not in text] == []
    assert from_xml(text) == octets


def test_what_is_edited_is_encoded_anew() -> None:
    text = to_xml(WrapperFrame(Sap(16), Sap(1), GET).encode())
    edited = text.replace("0.0.1.0.0.255", "1-0:1.8.0*255").replace("class-id>8", "class-id>0x3")

    assert (
        from_xml(edited)
        == WrapperFrame(Sap(16), Sap(1), bytes.fromhex("c001c100030100010800ff0200")).encode()
    )


def test_octets_of_another_spelling_are_kept_until_they_are_deleted() -> None:
    long_form = bytes.fromhex("c401c10009810101")
    text = to_xml(long_form)

    assert ' octets="c401c10009810101"' in text
    assert from_xml(text) == long_form
    assert from_xml(text.replace(' octets="c401c10009810101"', "")) == bytes.fromhex(
        "c401c100090101"
    )


def document(inside: str) -> str:
    return f'<openami xmlns="{NAMESPACE}">\n{inside}\n</openami>'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1: this is not well formed"),
        ("<openami>", "line 1: <openami> is of namespace (none)"),
        (document("<get-request-normal>"), "line 3: this is not well formed: mismatched tag"),
        (document("<nothing/>"), "line 2: <nothing> is no type of data"),
        (document("<unsigned>x</unsigned>"), "line 2: <unsigned> is 'x', which is no number"),
        (document("<unsigned>256</unsigned>"), "line 2: <unsigned> is no such value"),
        (document("<boolean>1</boolean>"), "line 2: <boolean> is '1', neither true nor false"),
        (document("<octet-string>0</octet-string>"), "which is not hexadecimal"),
        (document("<bit-string>012</bit-string>"), "which is not all bits"),
        (document("<float32>x</float32>"), "line 2: <float32> is no such value"),
        (document("<compact-array>00</compact-array>"), "has no type-description"),
        (document("<date>00</date>"), "line 2: <date> is no such value"),
        (document("text <array/>"), "line 1: <openami> holds text beside its elements"),
        (document("<get-request-next/>"), "needs <invoke-id-and-priority>"),
        (
            document("<get-request-next>\n<block/></get-request-next>"),
            "line 2: <get-request-next> needs",
        ),
        (
            to_xml(GET).replace("<class-id>8</class-id>", "<class-id>8</class-id><other/>"),
            "<other> has no place in <attribute>",
        ),
        (to_xml(GET).replace("0.0.1.0.0.255", "0.0.1"), "<instance-id> is no such value"),
        (to_xml(GET).replace(">8<", ">99999<"), "cannot be encoded"),
        (
            document('<wrapper source="x" destination="1"><octets>00</octets></wrapper>'),
            "<wrapper> has source='x': give a number",
        ),
        (document('<wrapper source="1" destination="1"/>'), "holds 0 elements, not one"),
        (
            document('<hdlc source="300" destination="1" control="0x13"/>'),
            "<hdlc> has source='300': give an HDLC address",
        ),
        (
            document('<m-bus source="1" destination="1" segment="16"/>'),
            "<m-bus> has segment=16, which does not fit",
        ),
        (f'<array xmlns="{NAMESPACE}"/>', "<array> is not the root of this form"),
        (document("<array>" * 250 + "</array>" * 250), "deeper than 200 levels"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_its_line(text: str, sentence: str) -> None:
    with pytest.raises(XmlError) as refused:
        from_xml(text)

    assert sentence in str(refused.value)
    assert str(refused.value).startswith("line ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE openami [<!ENTITY a "b">]>',
        '<!DOCTYPE openami SYSTEM "file:///etc/hostname">',
        '<!DOCTYPE openami [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
    ],
)
def test_no_document_type_is_taken(head: str) -> None:
    with pytest.raises(XmlError, match="a document type stands here"):
        from_xml(head + document("<octet-string>&a;</octet-string>"))


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1", "UTF-16", "nobody-knows"])
def test_what_a_declaration_says_of_the_encoding_is_over(encoding: str) -> None:
    """The text was decoded before it came here."""
    text = document("<utf8-string>Zähler</utf8-string>")
    assert from_xml(f'<?xml version="1.0" encoding="{encoding}"?>{text}') == from_xml(text)


@given(st.text(max_size=60), st.integers(0, 400))
def test_any_text_is_octets_or_one_sentence(text: str, place: int) -> None:
    whole = to_xml(WrapperFrame(Sap(16), Sap(1), GET).encode())
    for broken in (text, document(text), whole[:place] + text + whole[place:]):
        with contextlib.suppress(XmlError):
            from_xml(broken)


def test_the_schema_is_the_one_of_the_declarations() -> None:
    assert schema.shipped() == schema.schema()


def test_the_schema_names_every_class_and_every_type() -> None:
    text = schema.shipped()
    named = set(re.findall(r'(?m)^  <xs:element name="([^"]+)"', text))
    types = set(re.findall(r'<xs:(?:simple|complex)Type name="([^"]+)"', text))
    used = set(re.findall(r'<xs:element [^>]*type="(?!xs:)([^"]+)"', text))
    references = set(re.findall(r'<xs:element ref="([^"]+)"', text))

    assert named >= set(MESSAGES) | set(DATA) | {"openami", "wrapper", "hdlc", "m-bus", "octets"}
    assert {hyphened(kind.__name__) for kind in registry.classes()} <= set(MESSAGES)
    assert used <= types
    assert references <= named
