# SPDX-License-Identifier: Apache-2.0
"""Companion profiles: those that come with us, those of a folder, and mistakes in them."""

from pathlib import Path

import pytest

from openami.dlms.obis import Obis
from openami.headend.companion import DEFAULT, Companion, Companions
from openami.runtime.errors import ConfigurationError

OWN = """
title = "Meters of a maker"
meters = ["XYZ"]
[objects]
clock = "0.0.1.0.0.255"
load_profile = "1.0.99.1.0.255"
[clock]
limit_s = 5
[[model]]
begins = "XYZ2"
clock = {settable = false}
[[model]]
begins = "XYZ27"
objects = {load_profile = "1.0.99.2.0.255", clock = ""}
"""


def test_every_profile_that_comes_with_us_can_be_used() -> None:
    known = Companions.load().known
    assert set(known) == {DEFAULT, "is15959", "smr5", "idis-like"}
    for each in known.values():
        assert each.title
        assert {"clock", "load_profile", "logical_device_name", "security_setup"} <= set(
            each.objects
        )
    assert "push_setup" not in known["smr5"].objects
    assert known["is15959"].meters == ()  # nobody's meter is taken for one without being named


def test_a_folder_adds_profiles_and_their_models(tmp_path: Path) -> None:
    (tmp_path / "maker.toml").write_text(OWN)
    companions = Companions.load(tmp_path)
    assert companions.of("OAM0000000000001").name == DEFAULT
    plain, second, third = (companions.of(name + "0" * 12) for name in ("XYZ1", "XYZ2", "XYZ27"))
    assert (plain.clock_limit_s, plain.clock_settable) == (5, True)
    assert (second.clock_limit_s, second.clock_settable) == (5, False)
    assert third.objects == {"load_profile": Obis(1, 0, 99, 2, 0, 255)}
    assert third.clock_settable  # the longest beginning counts, and only that


def test_a_model_says_how_its_master_key_is_changed() -> None:
    text = OWN.replace("[[model]]", '[keys]\nmaster_key = "agreed"\n[[model]]', 1)
    kind = Companion.parse("maker", text + '[model.keys]\nmaster_key = "transferred"\n')
    assert kind.of("XYZ1").agrees
    assert not kind.of("XYZ27").agrees
    assert not Companion.parse("maker", OWN).agrees


def test_a_folder_replaces_a_profile_of_the_same_name(tmp_path: Path) -> None:
    (tmp_path / f"{DEFAULT}.toml").write_text(OWN)
    assert Companions.load(tmp_path).of("anything").title == "Meters of a maker"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("title", "correct its file"),
        ("[objects]", "'title'"),
        ('title = "a"\ncolour = 1', "'colour' is none of title"),
        ('title = "a"\n[objects]\nclok = "0.0.1.0.0.255"', r"\[objects\] 'clok' is none of"),
        ('title = "a"\n[objects]\nclock = "1.2"', "'1.2' is no OBIS code"),
        ('title = "a"\n[clock]\nlimit_s = "much"', "'much'"),
        ('title = "a"\nclock = 3', "correct its file"),
        ('title = "a"\n[keys]\nmaster_key = "sent"', "'sent' is none of transferred, agreed"),
        ('title = "a"\n[[model]]\n[model.clock]\nlimit_s = 3', "'begins'"),
        ('title = "a"\n[[model]]\nbegins = "X"\nobjects = {clock = "1"}', "'1' is no OBIS"),
    ],
)
def test_a_mistake_is_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Companion.parse("maker", text)
