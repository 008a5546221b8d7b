# SPDX-License-Identifier: Apache-2.0
"""Bearers in files: every figure a parameter, every mistake named with its place."""

import re
from pathlib import Path

import pytest

from openami.runtime.errors import ConfigurationError
from openami.transport.bearers.parameters import Bearer, Range, preset, presets, read_bearers

KNOWN = {
    "ethernet", "wifi", "lte", "cat-m1", "nb-iot", "nb-iot-psm", "plc-prime", "plc-g3", "rf-mesh",
    "mbus-wired", "rs485",
}  # fmt: skip


def test_the_usual_bearers_are_there_and_say_what_comes_from_memory() -> None:
    assert set(presets()) == KNOWN
    assert all(bearer.about for bearer in presets().values())
    assert all(bearer.source or bearer.from_memory for bearer in presets().values())


def test_like_takes_over_what_is_not_named() -> None:
    asleep, awake = preset("nb-iot-psm"), preset("nb-iot")

    assert asleep.sleep_s == 14_400
    assert asleep.up_bit_s == awake.up_bit_s


@pytest.mark.parametrize("bearer", presets().values(), ids=lambda bearer: bearer.name)
def test_a_range_is_walked_from_end_to_end(bearer: Bearer) -> None:
    for figure in (bearer.up_bit_s, bearer.round_trip_s, bearer.loss, bearer.outage_s):
        assert figure.at(0) == pytest.approx(figure.low)
        assert figure.at(1) == pytest.approx(figure.high)
        assert figure.low <= figure.at(0.5) <= figure.high


def test_a_file_may_name_a_usual_bearer_and_change_it(tmp_path: Path) -> None:
    file = tmp_path / "bearers.toml"
    file.write_text('[cellar]\nlike = "lte"\nloss = 0.3\nround_trip_s = [0.2, 1]\n')

    cellar = read_bearers(file)["cellar"]

    assert cellar.name == "cellar"
    assert cellar.loss == Range(0.3, 0.3)
    assert cellar.mtu_octets == preset("lte").mtu_octets


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        ('like = "lte"\nlost = 1', r"\[x\]: a bearer has no lost; there are about"),
        ('like = "lta"', r"\[x\]: like names 'lta', which is not above it"),
        ("down_bit_s = 1", r"\[x\] has no up_bit_s: add it"),
        ('like = "lte"\nloss = 1.0', r"loss is \[1.0, 1.0\], and nothing would ever arrive"),
        ('like = "lte"\nloss = [0.2, 0.1]', "and its low end is above its high end"),
        ('like = "lte"\nloss = "much"', r"loss is 'much', not a number or \[low, high\]"),
        ('like = "lte"\nup_bit_s = 0', r"up_bit_s is \[0.0, 0.0\], and it is too small"),
        ('like = "lte"\nduty = 2', "duty is 2.0, and a share is at most 1"),
        ('like = "lte"\nattempts = 1.5', "attempts is 1.5, not a whole number"),
        ('like = "lte"\nattempts = true', "attempts is True, not a whole number"),
        ('like = "lte"\nmtu_octets = nan', "mtu_octets is nan, not a whole number"),
        ('like = "lte"\nsleep_s = 5', "with sleep_s there must be awake_s"),
        ('like = "lte"\nfrom_memory = ["lore"]', "from_memory is"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, figures: str, sentence: str) -> None:
    file = tmp_path / "bearers.toml"
    file.write_text(f"[x]\n{figures}\n")

    with pytest.raises(ConfigurationError, match=sentence) as refused:
        read_bearers(file)
    assert str(file) in str(refused.value)


def test_a_file_that_has_no_tables_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bearers.toml"
    file.write_text("loss = 1\n")

    with pytest.raises(ConfigurationError, match=re.escape("[loss] is no table")):
        read_bearers(file)


def test_an_unknown_bearer_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigurationError, match="there is no bearer 'lorawan'; there are ethernet"
    ):
        preset("lorawan")
