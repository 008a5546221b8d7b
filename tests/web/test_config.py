# SPDX-License-Identifier: Apache-2.0
"""The configuration: what is read, and how a mistake is told."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from openami.runtime.errors import ConfigurationError
from openami.web.config import WebConfig
from openami.web.money import load_prices
from web.ami import ZONE

GOOD = """
[web]
listen = "http://127.0.0.1:8080"
zone = "Australia/Sydney"
session_key = "session.key"

[store]
database = "../openami.db"
lake = "../lake"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "web"
    home.mkdir()
    (home / "session.key").write_text("ab" * 32 + "\n")
    (home / "config.toml").write_text(GOOD)
    return home


def change(home: Path, old: str, new: str) -> None:
    text = (home / "config.toml").read_text()
    assert old in text
    (home / "config.toml").write_text(text.replace(old, new))


def test_paths_are_relative_to_the_folder(home: Path) -> None:
    config = WebConfig.load(home)
    assert config.lake == home.parent / "lake"
    assert config.run == home.parent / "run"
    assert config.clock == home.parent / "clock.json"
    assert config.database_url == f"sqlite:///{home.parent / 'openami.db'}"
    assert (config.host, config.port, config.minimum_homes) == ("127.0.0.1", 8080, 10)
    assert config.session_key == b"\xab" * 32


def test_a_database_url_stays_as_it_is(home: Path) -> None:
    change(home, '"../openami.db"', '"postgresql://openami@db/openami"')
    assert WebConfig.load(home).database_url == "postgresql://openami@db/openami"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"http://127.0.0.1:8080"', '"https://127.0.0.1:8080"', "listen is 'https"),
        ('"http://127.0.0.1:8080"', '"http://127.0.0.1"', "listen is"),
        ('"http://127.0.0.1:8080"', '"http://127.0.0.1:99999"', "listen is"),
        ('"http://127.0.0.1:8080"', "8080", "listen is 8080"),
        ('"Australia/Sydney"', '"Australia/Nowhere"', "zone is 'Australia/Nowhere'"),
        ('"Australia/Sydney"', "7", "zone is 7"),
        ("[web]", "[web]\nminimum_homes = 1", "minimum_homes is 1"),
        ("[web]", '[web]\nminimum_homes = "many"', "minimum_homes is 'many'"),
        ("[web]", "[web]\nlisten_on = 1", "no key listen_on"),
        ("[store]", "[storage]", "no key"),
        ("[store]", "[store", "not valid TOML"),
        ('session_key = "session.key"', 'session_key = "none.key"', "none.key cannot be read"),
    ],
)
def test_a_mistake_is_a_sentence_with_place_value_and_remedy(
    home: Path, old: str, new: str, said: str
) -> None:
    change(home, old, new)
    with pytest.raises(ConfigurationError, match=re.escape(said)) as refusal:
        WebConfig.load(home)
    assert "openami up" in str(refusal.value)


@pytest.mark.parametrize("text", ["no hex", "abcd", ""])
def test_a_weak_session_key_is_refused(home: Path, text: str) -> None:
    (home / "session.key").write_text(text)
    with pytest.raises(
        ConfigurationError, match=r"session\.key .*: remove it and run `openami up`"
    ):
        WebConfig.load(home)


def test_a_tariff_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tariff.toml"
    path.write_text(
        '[tariff]\ncurrency = "EUR"\n[[tariff.rate]]\nname = "all day"\nprice_per_kwh = "0.31"\n'
    )
    prices = load_prices(path, ZONE)
    assert prices.currency == "€"
    assert prices.cost([0, 1_800_000_000], [1000, 500]) == Decimal("0.465")
    assert prices.at(0).name == "all day"


@pytest.mark.parametrize("text", ["", "[tariff]\n", "[tariff", '[[tariff.rate]]\nname = "x"\n'])
def test_a_bad_tariff_names_its_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tariff.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"tariff\.toml"):
        load_prices(path, ZONE)
