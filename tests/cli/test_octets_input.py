# SPDX-License-Identifier: Apache-2.0
"""Octets in the forms that people have them in."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.cli.octets_input import from_base64, from_content, from_dump, from_file, from_hex
from openami.runtime.errors import UserError

OCTETS = bytes(range(0x30, 0x55))


def rows(width: int = 16) -> list[tuple[int, bytes]]:
    return [(at, OCTETS[at : at + width]) for at in range(0, len(OCTETS), width)]


def text(octets: bytes) -> str:
    return octets.decode("ascii")


HEXDUMP = "\n".join(
    f"{at:08x}  {row[:8].hex(' ')}  {row[8:].hex(' ')}  |{text(row)}|" for at, row in rows()
)
XXD = "\n".join(f"{at:08x}: {row.hex(' ', 2)}  {text(row)}" for at, row in rows())
OD = "\n".join(f"{at:07o} {row.hex(' ')}" for at, row in rows()) + f"\n{len(OCTETS):07o}"
WIRESHARK = "\n".join(f"{at:04x}   {row.hex(' ')}   {text(row)}" for at, row in rows())


@pytest.mark.parametrize(
    "given_text",
    [
        OCTETS.hex(),
        OCTETS.hex(" ").upper(),
        OCTETS.hex(":"),
        OCTETS.hex("-"),
        ", ".join(f"0x{octet:02X}" for octet in OCTETS),
        "".join(f"\\x{octet:02x}" for octet in OCTETS),
        "{ " + ", ".join(f"0x{octet:02x}" for octet in OCTETS) + " };",
        f"# a push\n{OCTETS[:9].hex()} // the first\n{OCTETS[9:].hex()}",
        HEXDUMP,
        XXD,
        OD,
        WIRESHARK,
    ],
)
def test_forms_of_hexadecimal(given_text: str) -> None:
    assert from_hex(given_text, "HEX") == OCTETS


@pytest.mark.parametrize("line", ["00000000", "00000000 7ea0", "0000 0005"])
def test_octets_that_begin_with_zeros_are_no_dump(line: str) -> None:
    assert from_dump(line) is None
    assert from_hex(line, "HEX") == bytes.fromhex(line)


@given(st.binary(min_size=1, max_size=100))
def test_any_octets_come_back(octets: bytes) -> None:
    assert from_hex(octets.hex(), "HEX") == octets
    assert from_base64(base64.b64encode(octets).decode(), "BASE64") == octets
    assert from_base64(base64.urlsafe_b64encode(octets).decode().rstrip("="), "B") == octets


def test_files_are_text_or_octets(tmp_path: Path) -> None:
    path = tmp_path / "telegram"
    for content in (OCTETS.hex().encode(), bytes.fromhex("7ea0ff") + OCTETS, b"/ISK5\r\n!\r\n"):
        path.write_bytes(content)
        expected = OCTETS if content.startswith(b"30") else content
        assert from_file(path) == expected
    path.write_bytes(base64.b64encode(OCTETS))
    assert from_file(path, as_base64=True) == OCTETS


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        from_file(tmp_path / "absent")
    with pytest.raises(UserError, match="BASE64 is not base64"):
        from_base64("äöü", "BASE64")
    with pytest.raises(UserError, match="BASE64 is empty"):
        from_base64(" ", "BASE64")
    with pytest.raises(UserError, match="HEX is empty"):
        from_content(b"\n", "HEX")
