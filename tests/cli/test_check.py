# SPDX-License-Identifier: Apache-2.0
"""`openami check` over an installation as `openami up` makes it, and broken ones; the units."""

import configparser
import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from cli.runs import Run
from openami.cli.main import COMMANDS
from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.runtime import status
from openami.runtime.layout import Layout
from openami.store.database import open_database

UNITS = sorted((Path(__file__).resolve().parents[2] / "deploy" / "systemd").glob("*.service"))


@pytest.fixture
def var(tmp_path: Path) -> Path:
    layout = Layout(tmp_path / "var")
    provision(layout, Plan(meters=2, installed_us=0))
    open_database(layout.database_url, create=True).dispose()
    return layout.var


def test_what_up_makes_is_fit_to_start(openami: Run, var: Path) -> None:
    outcome = openami("check", var)
    assert outcome.status == 0, outcome.out + outcome.err
    assert outcome.out.splitlines()[-1] == f"✓ {var} is fit to start"


def test_a_container_has_the_folders_of_other_parts_with_nothing_in_them(
    openami: Run, var: Path
) -> None:
    for other in ("headend", "mdm"):
        (var / other).rename(var.parent / other)
        (var / other).mkdir()
    assert openami("check", var).status == 0
    (var / "mdm" / "notes").write_text("config.toml is lost")
    assert openami("check", var).status == 1


def test_who_says_nothing_is_not_alive(
    openami: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status.write_status(tmp_path, "mdm", {})
    assert openami("alive", tmp_path, "mdm").status == 0
    assert "web has said nothing" in openami("alive", tmp_path, "web").sentence
    monkeypatch.setattr(status, "FRESH_S", -1.0)
    assert openami("alive", tmp_path, "mdm").status == 1


def test_every_mistake_is_found_in_one_run(openami: Run, var: Path) -> None:
    config = var / "web" / "config.toml"
    config.write_text(config.read_text().replace("[web]", "[web]\ncolour = 1"))
    (var / "headend" / "tls.crt").write_text("no certificate")
    key = var / "headend" / "tls.key"
    key.chmod(0o644)
    (var / "openami.db").rename(var / "elsewhere.db")
    outcome = openami("check", var)
    assert outcome.status == 1
    assert "has no key colour" in outcome.out
    assert f"{var / 'headend' / 'tls.crt'} holds no certificate" in outcome.out
    assert f"{key} may be read by others (0644)" in outcome.out
    assert "there is no store at" in outcome.out
    assert "keep" in outcome.sentence


@pytest.mark.parametrize(
    ("days", "status", "said"),
    [
        ((-9, 40), 0, None),
        ((-9, 10), 0, "ends on"),
        ((-9, -1), 1, "ended on"),
        ((2, 90), 1, "not valid yet"),
    ],
)
def test_certificates_that_end(
    days: tuple[int, int], status: int, said: str | None, openami: Run, var: Path
) -> None:
    now, key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .sign(key, hashes.SHA256())
    )
    (var / "ca" / "other.crt").write_bytes(made.public_bytes(Encoding.PEM))
    outcome = openami("check", var)
    assert outcome.status == status
    assert said is None or said in outcome.out


def test_no_folder_and_an_empty_one(openami: Run, tmp_path: Path) -> None:
    assert "there is no folder" in openami("check", tmp_path / "none").sentence
    outcome = openami("check", tmp_path)
    assert outcome.status == 1
    assert "holds no part of an AMI" in outcome.out


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_starts_a_command_that_there_is(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.read_text())
    service = parser["Service"]
    program, system, *words = shlex.split(service["ExecStart"])
    assert program == "/opt/openami/bin/openami"
    module, name = COMMANDS[system]
    group = getattr(__import__(module, fromlist=[name]), name)
    command = group.commands[words[0]]
    assert isinstance(command, click.Command)
    assert words[1] == "--home"
    assert words[2].startswith("/var/lib/openami/")
    assert "--home" in {name for each in command.params for name in each.opts} | {
        name for each in group.params for name in each.opts
    }
    assert service["RestartPreventExitStatus"] == "2"
