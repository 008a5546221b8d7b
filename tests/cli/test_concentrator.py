# SPDX-License-Identifier: Apache-2.0
"""`openami concentrator run`: the firmware where there is a flash, else the package."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from chain import REGION, Chain
from concentrator.own.flashes import make
from openami.cli import concentrator as module
from openami.cli.main import openami
from openami.runtime.errors import ConfigurationError, UserError


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    chain = Chain(tmp_path, meters=1)
    yield chain.layout.concentrator(REGION)
    chain.close()


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what was run, in place of running it."""
    found: list[str] = []
    for name in ("serve", "serve_booted"):
        monkeypatch.setattr(module, name, lambda _home, _stop, name=name: found.append(name))
    monkeypatch.setattr(module, "run_until_stopped", lambda serving: serving(None))
    return found


def run(home: Path) -> None:
    done = CliRunner().invoke(openami, ["concentrator", "run", "--home", str(home)])
    if done.exception is not None:
        raise done.exception


@pytest.mark.parametrize(
    ("launcher", "made", "runs"),
    [
        ("", False, "serve"),
        ("", True, "serve_booted"),
        ("auto", True, "serve_booted"),
        ("always", False, "serve_booted"),
        ("never", True, "serve"),
    ],
)
def test_the_firmware_runs_where_there_is_a_flash_or_as_configured(
    home: Path, ran: list[str], launcher: str, *, made: bool, runs: str
) -> None:
    if launcher:
        with (home / "config.toml").open("a") as config:
            config.write(f'\n[firmware]\nlauncher = "{launcher}"\n')
    if made:
        make(home)
    run(home)
    assert ran == [runs]


def test_another_word_is_refused_by_name(home: Path, ran: list[str]) -> None:
    with (home / "config.toml").open("a") as config:
        config.write('\n[firmware]\nlauncher = "sometimes"\n')
    with pytest.raises(ConfigurationError, match=r"\[firmware\] launcher is 'sometimes', not"):
        run(home)
    assert ran == []


def test_a_flash_is_made_once(home: Path) -> None:
    make(home)
    done = CliRunner().invoke(openami, ["concentrator", "make", "--home", str(home)])
    assert isinstance(done.exception, UserError)
    assert "has its flash already" in str(done.exception)
