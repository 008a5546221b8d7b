# SPDX-License-Identifier: Apache-2.0
"""Configuration files: every mistake is a sentence with file, table, key, value and remedy."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from openami.runtime.config import REMEDY, ConfigFile, Table, setting, system_title
from openami.runtime.errors import ConfigurationError, ExitCode

GOOD = """
[own]
name = "north"
title = "4F414DC000000001"
carried = ["4F414D0000000001", "4F414D0000000002"]
zone = "Europe/Berlin"
port = 8080
pause_s = 2
open = true
file = "state/x.db"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    rows: int = setting(96, least=1)
    pause_s: float = 1.5
    spread_s: int = 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def with_text(path: Path, text: str) -> ConfigFile:
    path.write_text(text, encoding="utf-8")
    return ConfigFile(path)


def test_values_come_by_their_kind(path: Path) -> None:
    file = ConfigFile(path)
    own = file.table("own")
    assert own.text("name") == "north"
    assert own.title("title") == bytes.fromhex("4F414DC000000001")
    assert own.titles("carried") == [b"OAM\0\0\0\0\1", b"OAM\0\0\0\0\2"]
    assert own.zone("zone") == ZoneInfo("Europe/Berlin")
    assert own.whole("port", least=1, most=65_535) == 8080
    assert own.number("pause_s") == 2.0
    assert isinstance(own.number("pause_s"), float)
    assert own.flag("open", default=False)
    assert own.path("file") == path.parent / "state" / "x.db"
    assert own.parsed("name", str.upper, "letters") == "NORTH"
    assert "name" in own
    assert "nothing" not in own
    assert own.place("port") == f"[own] port in {path}"
    file.refuse_unknown()


def test_what_is_left_out_has_its_default(path: Path) -> None:
    none = with_text(path, "").table("own")
    assert none.text("name", "x") == "x"
    assert none.whole("port", 7) == 7
    assert none.number("pause_s", 0.5) == 0.5
    assert none.zone("zone", "Australia/Sydney").key == "Australia/Sydney"
    assert none.path("file", "../lake") == path.parent.parent / "lake"
    assert not none.flag("open", default=False)
    assert none.settings(Settings) == Settings()


READS: dict[str, Callable[[Table], object]] = {
    "name": lambda table: table.text("name"),
    "title": lambda table: table.title("title"),
    "carried": lambda table: table.titles("carried"),
    "zone": lambda table: table.zone("zone"),
    "port": lambda table: table.whole("port", least=1, most=65_535),
    "pause_s": lambda table: table.number("pause_s"),
    "open": lambda table: table.flag("open", default=False),
    "file": lambda table: table.path("file"),
    "rows": lambda table: table.settings(Settings),
    "spread_s": lambda table: table.settings(Settings),
}


@pytest.mark.parametrize("key", ["name", "title", "carried", "zone", "port", "pause_s", "file"])
def test_a_key_that_must_be_there_is_named(path: Path, key: str) -> None:
    table = with_text(path, "[own]\n").table("own")
    with pytest.raises(ConfigurationError) as refused:
        READS[key](table)
    assert str(refused.value) == f"{path} lacks the key {key!r} of [own]: {REMEDY}"
    assert refused.value.exit_code is ExitCode.ASKED_WRONGLY


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("name", "7", "text"),
        ("title", '"4F41"', "a system title of 16 hex digits"),
        ("title", '"ZZ414DC000000001"', "a system title"),
        ("title", "4", "text"),
        ("carried", '"4F414D0000000001"', "a list of system titles"),
        ("carried", "[1]", "a list of system titles"),
        ("carried", '["12"]', "a list of system titles"),
        ("zone", '"Mars/Base"', "a name of the IANA time zone database"),
        ("zone", '"/etc/passwd"', "a name of the IANA time zone database"),
        ("port", "0", "a whole number from 1 to 65535"),
        ("port", "65536", "a whole number from 1 to 65535"),
        ("port", "true", "a whole number"),
        ("port", "1.0", "a whole number"),
        ("port", '"1"', "a whole number"),
        ("pause_s", "-0.1", "a number of 0 or more"),
        ("pause_s", "nan", "a number of 0 or more"),
        ("pause_s", "inf", "a number of 0 or more"),
        ("pause_s", "true", "a number"),
        ("open", "1", "true or false"),
        ("file", "[]", "text"),
        ("rows", "0", "a whole number of 1 or more"),
        ("spread_s", "1.5", "a whole number of 0 or more"),
    ],
)
def test_a_wrong_value_is_named(path: Path, key: str, value: str, wanted: str) -> None:
    table = with_text(path, f"[own]\n{key} = {value}\n").table("own")
    with pytest.raises(ConfigurationError) as refused:
        READS[key](table)
    sentence = str(refused.value)
    assert sentence.startswith(f"{path}: [own] {key} is ")
    assert f", not {wanted}" in sentence
    assert sentence.endswith(REMEDY)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[own]\nnmae = 1\n", "[own] has no key nmae; known are name, zone"),
        ("[owner]\nname = 1\n", "has no key or table owner; known are [own]"),
        ("name = 1\n", "has no key or table name; known are [own]"),
        ("own = 3\n", "own is 3, not a table [own]"),
        ("[own", "is not valid TOML"),
    ],
)
def test_what_nobody_asked_for_is_refused(path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)) as refused:
        read(with_text, path, text)
    assert str(path) in str(refused.value)


def read(make: Callable[[Path, str], ConfigFile], path: Path, text: str) -> None:
    file = make(path, text)
    own = file.table("own")
    own.text("name", "")
    own.ignore("zone")
    file.refuse_unknown()


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ConfigFile(tmp_path / "none.toml")


@pytest.mark.parametrize("text", ["", "4F", "4F414DC00000000", "4F414DC00000000102", "no title"])
def test_a_title_has_eight_octets(text: str) -> None:
    with pytest.raises(ValueError, match=f"16 hex digits, not {text!r}"):
        system_title(text)
