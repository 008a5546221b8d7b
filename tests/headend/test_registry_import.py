# SPDX-License-Identifier: Apache-2.0
"""The shipment, the configuration, and what stops a head-end with one sentence."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from chain import CONCENTRATOR, INSTALLED, REGION, Chain
from loops import in_loop
from openami.access.custody import Places
from openami.access.keystore import KeyStore
from openami.cli.headend import headend as command
from openami.headend.config import HeadEndConfig, ScheduleSettings, SessionSettings
from openami.headend.directory import Directory, Place
from openami.headend.pairs import believing
from openami.headend.process import HeadEnd
from openami.headend.registry_import import import_shipment, load_shipment
from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.runtime.clock import to_us
from openami.runtime.errors import ConfigurationError, ExitCode, UserError
from openami.runtime.layout import Layout
from openami.store import registry
from openami.store.database import open_database
from openami.store.keys import KeyState


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    found = Chain(tmp_path, meters=3)
    yield found
    found.close()


def test_a_shipment_is_entered_once(chain: Chain) -> None:
    shipment = load_shipment(chain.layout.headend / "shipment.json")
    assert shipment.places == {CONCENTRATOR: Place(REGION, REGION)}
    assert import_shipment(chain.engine, shipment) == 3
    assert import_shipment(chain.engine, shipment) == 0
    meters = registry.meters(chain.engine)
    assert [m.title for m in meters] == [m.title for m in chain.meters.values()]
    assert {(m.region, m.concentrator, m.installed_us) for m in meters} == {
        (REGION, CONCENTRATOR, to_us(INSTALLED))
    }
    names = {(key.meter_id, key.key_name) for key in registry.keys(chain.engine)}
    assert names == {(n, key) for n in (1, 2, 3) for key in ("guek", "gak", "kek", "lls")}


def test_keys_come_out_of_their_wrapping_and_what_was_retired_stays_so(chain: Chain) -> None:
    shipment = load_shipment(chain.layout.headend / "shipment.json")
    import_shipment(chain.engine, shipment)
    for key in registry.keys(chain.engine, 1):
        registry.put_key(chain.engine, replace(key, state="retired"))
    import_shipment(chain.engine, shipment)
    assert {key.state for key in registry.keys(chain.engine, 1)} == {"retired"}
    keystore = KeyStore(chain.layout.headend / "keystore", create=False)
    directory = Directory(chain.engine, keystore.unwrap)
    for number, meter in chain.meters.items():
        (cipher,) = directory.ciphers(number)
        assert (cipher.state is KeyState.ACTIVE) is (number != 1)
        assert cipher.cipher.keys.encryption_key == meter.keys.guek
        assert cipher.cipher.keys.authentication_key == meter.keys.gak


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": "openami-shipment-9"}, "has format 'openami-shipment-9'"),
        ({"meters": [{}]}, "is no shipment"),
        ({"meters": 7}, "is no shipment"),
        ({"head_end": "xyz"}, "is no shipment"),
    ],
)
def test_another_shipment_is_refused(chain: Chain, change: dict[str, object], problem: str) -> None:
    path = chain.layout.headend / "shipment.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | change))
    with pytest.raises(ConfigurationError, match=problem) as caught:
        load_shipment(path)
    assert str(path) in str(caught.value)


def test_two_meters_of_one_title_are_refused(chain: Chain) -> None:
    path = chain.layout.headend / "shipment.json"
    said = json.loads(path.read_bytes())
    sound = load_shipment(path)
    said["meters"][2]["title"] = said["meters"][0]["title"]
    path.write_text(json.dumps(said))
    sentence = r"meter 3 has the system title of meter 1 \(4F414D0000000001\): ask the manufacturer"
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        load_shipment(path)
    assert refused.value.exit_code is ExitCode.ASKED_WRONGLY

    import_shipment(chain.engine, sound)
    before, former = registry.meters(chain.engine), sound.meters[0]
    for known, problem in (
        (replace(former, meter_id=9), "meter 9 has the system title of meter 1"),
        (replace(former, title=b"OAM00099"), "meter 1 is known with system title 4F414D0000000001"),
    ):
        with pytest.raises(ConfigurationError, match=problem):
            import_shipment(chain.engine, replace(sound, meters=[known]))
    assert registry.meters(chain.engine) == before


def test_the_configuration_is_read_with_its_defaults(chain: Chain) -> None:
    config = HeadEndConfig.load(chain.layout.headend)
    assert config.sessions == SessionSettings()
    assert config.schedule == ScheduleSettings()
    assert config.database == f"sqlite:///{(chain.layout.var / 'openami.db').resolve()}"
    path = chain.layout.headend / "config.toml"
    with path.open("a") as file:
        file.write("[sessions]\nparallel = 7\nidle_s = 3\n")
    sessions = HeadEndConfig.load(chain.layout.headend).sessions
    assert sessions == replace(SessionSettings(), parallel=7, idle_s=3.0)
    assert isinstance(sessions.idle_s, float)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[tls]", "[schedule]\nlook = 3\n[tls]", "has no key look; known are daily_at_s"),
        ("[tls]", "[clocks]\nshift_most_s = 901\n[tls]", "shift_most_s is 901, not at most 900"),
        ("[tls]", "[clocks]\non = 1\n[tls]", "on is 1, not true or false"),
        ('title = "4F414DE000000001"\n', "", "lacks the key 'title'"),
        ('title = "4F41', 'title = "ZZ41', "title is 'ZZ414DE000000001', not a system title"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(
    chain: Chain, old: str, new: str, problem: str
) -> None:
    path = chain.layout.headend / "config.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=problem):
        HeadEndConfig.load(chain.layout.headend)


@in_loop
async def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    await chain.start_headend()
    taken = replace(chain.headend_config(), listen=chain.uplink_url)
    with pytest.raises(UserError, match="is in use by another process"):
        await HeadEnd(taken, lambda: 0).run(asyncio.Event())
    await chain.headend_ends()
    chain.close()


@in_loop
async def test_another_keystore_is_noticed_at_the_start(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    config = replace(chain.headend_config(), keystore=Places(str(tmp_path / "other"), [], tmp_path))
    KeyStore(tmp_path / "other")
    with pytest.raises(UserError, match="does not open with"):
        HeadEnd(config, lambda: 0)
    with pytest.raises(UserError, match="cannot be read"):
        HeadEnd(
            replace(config, keystore=Places(str(tmp_path / "nowhere"), [], tmp_path)), lambda: 0
        )
    chain.close()


def test_the_command_asks_for_a_home() -> None:
    result = CliRunner().invoke(command, ["run"])
    assert result.exit_code == ExitCode.ASKED_WRONGLY
    assert "--home" in result.output
    result = CliRunner().invoke(command, ["run", "--home", "/nowhere"])
    assert isinstance(result.exception, ConfigurationError)


def test_certificates_of_meters_are_judged_before_anything_is_entered(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "var")
    provision(layout, Plan(meters=2, regions=("north",), installed_us=0, suite=1))
    shipment = load_shipment(layout.headend / "shipment.json")
    believe = believing(HeadEndConfig.load(layout.headend))
    engine = open_database(layout.database_url, create=True)
    swapped = replace(
        shipment, certificates={1: shipment.certificates[2], 2: shipment.certificates[1]}
    )

    with pytest.raises(ConfigurationError, match="certificates of meter 1: it names"):
        import_shipment(engine, swapped, believe)
    with pytest.raises(ConfigurationError, match="nobody judges the certificates of meter 1"):
        import_shipment(engine, shipment)
    assert not registry.meters(engine)

    assert import_shipment(engine, shipment, believe) == 2
    directory = Directory(engine, KeyStore(layout.headend / "keystore").unwrap)
    assert {len(each.public["signing"]) for each in directory.ciphers(2)} == {64}
    engine.dispose()
