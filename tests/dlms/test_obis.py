# SPDX-License-Identifier: Apache-2.0
"""OBIS codes: text and octets."""

import pytest
from hypothesis import given

from dlmsvalues import obis
from openami.dlms.obis import Obis


@given(obis)
def test_text_and_octets_come_back(code: Obis) -> None:
    assert Obis.parse(str(code)) == code
    assert Obis.decode(code.encode()) == code


@pytest.mark.parametrize("text", ["1-0:1.8.0*255", "1.0.1.8.0.255", " 1-0:1.8.0.255 "])
def test_the_printed_forms(text: str) -> None:
    assert Obis.parse(text) == (1, 0, 1, 8, 0, 255)


@pytest.mark.parametrize(
    "text",
    ["", "1.8.0", "1.0.1.8.0.256", "1.0.1.8.0", "1.0.1.8.0.2.5", "a.b.c.d.e.f", "-1.0.1.8.0.1"],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"1\.0\.1\.8\.0\.255"):
        Obis.parse(text)


@pytest.mark.parametrize("size", [0, 5, 7])
def test_a_logical_name_has_six_octets(size: int) -> None:
    with pytest.raises(ValueError, match="6 octets"):
        Obis.decode(bytes(size))
