# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given

from dlmsvalues import obis as codes
from openami.cosem.obis_names import _OBJECTS, MEDIA, describe
from openami.dlms.obis import Obis


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("1.0.1.8.0.255", "active energy import"),
        ("1.0.1.8.2.255", "active energy import, tariff 2"),
        ("1.0.2.29.0.255", "active energy export in the interval"),
        ("1.0.5.8.0.255", "reactive energy QI"),
        ("1.0.9.6.0.255", "apparent power import, maximum"),
        ("1.0.1.8.0.3", "active energy import, billing period 3"),
        ("1.0.16.7.0.255", "active power import minus export"),
        ("1.0.21.7.0.255", "active power import L1"),
        ("1.0.32.7.0.255", "voltage L1"),
        ("1.0.52.32.0.255", "voltage L2, number of sags"),
        ("1.0.71.7.124.255", "current L3, harmonic distortion"),
        ("1.0.91.7.0.255", "neutral current"),
        ("1.0.99.1.0.255", "load profile 1"),
        ("1.1.0.2.0.255", "firmware identifier, channel 1"),
        ("0.0.1.0.0.255", "clock"),
        ("0.0.40.0.0.255", "current association"),
        ("0.0.40.0.3.255", "association 3"),
        ("0.0.96.3.10.255", "disconnect control"),
        ("0.0.96.3.25.255", "arbitrator"),
        ("0.2.24.1.0.255", "M-Bus client, channel 2"),
        ("0.0.97.98.10.255", "alarm filter 10"),
        ("0.0.19.21.0.255", "charge 1"),
        ("0.0.10.0.106.255", "script table: disconnect control"),
        ("0.0.10.0.33.255", "script table 33"),
        ("7.0.3.0.0.255", "gas"),
        ("0.0.200.0.0.255", ""),
        ("1.0.19.8.0.255", ""),
        ("1.0.1.200.0.255", ""),
        ("1.0.101.7.0.255", ""),
        ("3.0.1.8.0.255", ""),
    ],
)
def test_objects_have_names(code: str, text: str) -> None:
    assert describe(Obis.parse(code)) == text


@given(codes)
def test_every_code_has_a_text_or_none(code: Obis) -> None:
    text = describe(code)
    assert "{" not in text
    assert text == text.strip()
    assert text or code.a in {0, 1} or code.a not in MEDIA


def test_no_rule_hides_another() -> None:
    """The first rule that fits counts, so the more particular one stands first."""
    for line in _OBJECTS.strip().splitlines():
        code, text = line.split(None, 1)
        groups = [0 if part.isalpha() else int(part.partition("-")[0]) for part in code.split(".")]
        variable = code.split(".")[4].isalpha()
        groups[4] = 77 if variable else groups[4]
        found = describe(Obis(*groups, 255))
        assert found == text.format(d=groups[3] % 10, e=groups[4]), line
