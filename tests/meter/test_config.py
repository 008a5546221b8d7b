# SPDX-License-Identifier: Apache-2.0
"""`device.toml`, `keys.json`, the fleet's `config.toml`: what loads, which mistakes are named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.meter.config import FleetConfig, MeterConfig
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.layout import Layout


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("var")
    plan = Plan(meters=3, installed_us=1_790_000_000_000_000 // 1_800_000_000 * 1_800_000_000)
    provision(Layout(folder), plan, lambda *_: None)
    return folder


def test_what_provisioning_writes_loads(var: Path) -> None:
    config = MeterConfig.load(var / "meters" / "4F414D0000000002")
    fleet = FleetConfig.load(var / "fleet")

    assert config.meter_id == 2
    assert config.ldn == "OAM0000000000002"
    assert config.uplink.encrypted
    assert config.plain_listener is None
    assert config.profile_entries == 60 * 48
    assert config.keys.guek.hex() not in repr(config)
    assert [home.name for home in fleet.homes] == ["4F414D0000000002", "4F414D0000000003"]
    for home in fleet.homes:
        MeterConfig.load(home)


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        (
            "device.toml",
            replaced("id = 2", "id = 0"),
            "[meter] id is 0, not a whole number from 1 to 16777215",
        ),
        ("device.toml", replaced("id = 2", ""), "lacks the key 'id'"),
        ("device.toml", replaced("tls://", "http://"), "unknown scheme http"),
        ("device.toml", replaced('"OAM0', '"OAM'), "16 characters"),
        ("device.toml", replaced("[meter]", "[meter"), "not valid TOML"),
        ("device.toml", replaced("capture_period_s = 1800", "capture_period_s = 1.5"), "1.5"),
        ("device.toml", '{}\n[metrology]\nlink = "i2c"'.format, "link is 'i2c', not \"uart\" or"),
        (
            "device.toml",
            "{}\n[metrology]\nslot_octets = 65".format,
            "slot_octets is 65, not 64 or 256",
        ),
        ("keys.json", replaced("openami-keys-1", "openami-keys-9"), "openami-keys-9"),
        ("keys.json", replaced('"guek": "', '"guek": "00'), "guek has 17 octets, not 16"),
        ("keys.json", replaced('"gak"', '"gok"'), "holds no keys"),
        ("keys.json", lambda _: "{", "not valid JSON"),
    ],
)
def test_mistakes_are_named(
    var: Path, tmp_path: Path, file: str, change: Callable[[str], str], named: str
) -> None:
    home = var / "meters" / "4F414D0000000002"
    for name in ("device.toml", "keys.json"):
        text = (home / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(change(text) if name == file else text, encoding="utf-8")

    with pytest.raises(UserError) as refused:
        MeterConfig.load(tmp_path)

    assert refused.value.exit_code is ExitCode.ASKED_WRONGLY
    assert str(tmp_path / file) in str(refused.value)
    assert named in str(refused.value)


def test_a_missing_fleet_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        FleetConfig.load(tmp_path)
    (tmp_path / "config.toml").write_text("[fleet]\nmeters = ['12']\n", encoding="utf-8")
    with pytest.raises(UserError, match="16 hex digits"):
        FleetConfig.load(tmp_path)
    told = "[fleet]\nmeters = ['4F414D0000000002']\n[clocks]\ndrifting = 1.5\n"
    (tmp_path / "config.toml").write_text(told, encoding="utf-8")
    with pytest.raises(UserError, match=r"drifting is 1\.5, not a part from 0 to 1"):
        FleetConfig.load(tmp_path)
