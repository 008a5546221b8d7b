# SPDX-License-Identifier: Apache-2.0
"""`openami meter debug`: a laboratory asks, signs, opens, reads, is refused with a sentence."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from cli.runs import Run
from device.labs import DEBUG_KEY, OTHER_KEY, device
from openami.device.debugport import outside
from openami.device.debugtoken import TOKEN_OCTETS
from openami.device.files import FLASH_FILE, SECURE
from openami.device.flash import FlashFile
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.psa.lifecycle import LifeCycle
from openami.runtime.errors import ExitCode
from openami.runtime.status import write_status


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A secured meter with a debug key."""
    folder = tmp_path / "meters" / "4F414D0000000001" / SECURE
    folder.mkdir(parents=True)
    device(folder)
    return folder.parent


def pem(folder: Path, key: ec.EllipticCurvePrivateKey = DEBUG_KEY) -> Path:
    path = folder / "debug-key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def token(openami: Run, home: Path, permission: str, key: Path) -> Path:
    drawn = openami("meter", "debug", "challenge", "--home", str(home)).out.strip()
    out = home.parent / "token"
    done = openami(
        "meter", "debug", "sign", "--key", str(key), "--challenge", drawn,
        "--permission", permission, "--out", str(out),
    )  # fmt: skip
    assert done.status == ExitCode.DONE
    return out


def status(openami: Run, home: Path) -> dict[str, object]:
    found = openami("meter", "debug", "status", "--home", str(home), "--json")
    said: dict[str, object] = json.loads(found.out)
    return said


def test_a_token_opens_what_it_names_and_nothing_else(openami: Run, home: Path) -> None:
    at = ("--home", str(home))
    assert status(openami, home) == {
        "life cycle": "secured",
        "debug key": "burned",
        "open for": "nothing",
        "locked": ["nothing"],
        "execute only": ["nothing"],
    }
    flash = FlashFile.open(home / SECURE / FLASH_FILE, M2351_FLASH_OCTETS)
    (window,) = outside(flash)
    flash.close()
    read = ("meter", "debug", "read", *at, "--address", f"{window.offset:#x}", "--octets", "10")
    refused = openami(*read)
    assert refused.status == ExitCode.REFUSED
    assert refused.sentence == (
        "openami: the port refuses: program of the non-secure world: "
        "the port is not open for it: bring a token for non-secure"
    )

    found = token(openami, home, "non-secure", pem(home.parent))
    unlocked = openami("meter", "debug", "unlock", *at, "--token", str(found))

    assert unlocked.out == "open for non-secure; life cycle non_psa_rot_debug\n"
    assert openami(*read).out == f"{window.offset:08x}  72 75 6e 73 20 31 2e 30 2e 30\n"
    out = home.parent / "program"
    assert openami(*read, "--out", str(out)).status == ExitCode.DONE
    assert out.read_bytes() == b"runs 1.0.0"
    boot = openami("meter", "debug", "read", *at, "--address", "0")
    assert boot.status == ExitCode.REFUSED
    assert "flash of the secure world" in boot.sentence
    again = openami("meter", "debug", "unlock", *at, "--token", str(found))
    assert again.status == ExitCode.REFUSED
    assert "answers another challenge" in again.sentence


def test_a_key_under_a_password_signs(
    openami: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home.parent / "locked.pem"
    path.write_bytes(
        DEBUG_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    )
    words = ("meter", "debug", "sign", "--key", str(path), "--challenge", "00" * 32,
             "--permission", "secure", "--out", str(home / "t"))  # fmt: skip
    assert "password" in openami(*words).sentence
    monkeypatch.setattr("click.prompt", lambda *_, **__: "word")
    assert openami(*words, "--password").status == ExitCode.DONE
    assert len((home / "t").read_bytes()) == TOKEN_OCTETS


def test_another_key_is_refused(openami: Run, home: Path) -> None:
    found = token(openami, home, "secure", pem(home.parent, OTHER_KEY))
    refused = openami("meter", "debug", "unlock", "--home", str(home), "--token", str(found))
    assert refused.status == ExitCode.REFUSED
    assert "signed by another key than the one that was burned" in refused.sentence
    assert status(openami, home)["life cycle"] == "secured"


def test_locks_are_closed_and_everything_erased_only_with_a_yes(openami: Run, home: Path) -> None:
    at = ("--home", str(home))
    assert openami("meter", "debug", "lock", *at, "--what", "all").status == ExitCode.ASKED_WRONGLY
    assert openami("meter", "debug", "mass-erase", *at).status == ExitCode.ASKED_WRONGLY
    assert openami("meter", "debug", "lock", *at, "--what", "all", "--yes").out == ("all: locked\n")
    refused = openami("meter", "debug", "challenge", *at)
    assert refused.status == ExitCode.REFUSED
    assert "only a mass erase opens the port again" in refused.sentence
    assert status(openami, home)["locked"] == ["all"]
    assert openami("meter", "debug", "mass-erase", *at, "--yes").status == ExitCode.DONE
    assert status(openami, home)["locked"] == ["nothing"]
    assert (home / SECURE / FLASH_FILE).read_bytes() == b"\xff" * M2351_FLASH_OCTETS


def test_a_meter_with_power_is_left_alone(openami: Run, home: Path) -> None:
    run = home.parent.parent / "run"
    run.mkdir()
    write_status(run, "meter", {})
    for words in (("debug", "challenge"), ("personalise",), ("pair",)):
        refused = openami("meter", *words, "--home", str(home))
        assert refused.status == ExitCode.REFUSED
        assert "has power: take it away" in refused.sentence


def test_a_meter_whose_host_is_gone_has_no_power(openami: Run, home: Path) -> None:
    run = home.parent.parent / "run"
    run.mkdir()
    dead = subprocess.Popen(["true"])
    dead.wait()
    said = {"pid": dead.pid, "monotonic_s": time.monotonic(), "figures": {}}
    (run / "meter.json").write_text(json.dumps(said))
    assert openami("meter", "debug", "challenge", "--home", str(home)).status == ExitCode.DONE


def test_a_fleet_that_runs_is_not_personalised(openami: Run, tmp_path: Path) -> None:
    write_status(tmp_path / "run", "fleet", {})
    refused = openami("fleet", "personalise", "--home", str(tmp_path / "fleet"))
    assert refused.status == ExitCode.REFUSED
    assert "runs: stop it, and try again" in refused.sentence


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("status", "--home", "nowhere"), "nowhere has no secure/otp.bin"),
        (("read", "--home", "HOME", "--address", "-1"), "negative"),
        (("read", "--home", "HOME", "--address", "0", "--octets", "0"), "0 octets are not read"),
        (
            ("sign", "--key", "KEY", "--challenge", "xy", "--permission", "secure", "--out", "t"),
            "xy is no challenge in hexadecimal",
        ),
    ],
)
def test_what_is_asked_wrongly(
    openami: Run, home: Path, words: tuple[str, ...], sentence: str
) -> None:
    given = {"HOME": str(home), "KEY": str(pem(home.parent))}
    refused = openami("meter", "debug", *(given.get(word, word) for word in words))
    assert refused.status == ExitCode.ASKED_WRONGLY
    assert sentence in refused.err


def test_a_short_challenge_and_a_file_that_is_no_token_are_refused(
    openami: Run, home: Path
) -> None:
    short = openami(
        "meter", "debug", "sign", "--key", str(pem(home.parent)), "--challenge", "00",
        "--permission", "secure", "--out", str(home / "t"),
    )  # fmt: skip
    assert short.status == ExitCode.REFUSED
    assert "a challenge has 32 octets, not 1" in short.sentence
    openami("meter", "debug", "challenge", "--home", str(home))
    (home / "t").write_bytes(b"no token")
    found = openami("meter", "debug", "unlock", "--home", str(home), "--token", str(home / "t"))
    assert found.status == ExitCode.REFUSED
    assert "8 octets are no token" in found.sentence


def test_a_meter_in_assembly_needs_no_token(openami: Run, tmp_path: Path) -> None:
    folder = tmp_path / "meters" / "new" / SECURE
    folder.mkdir(parents=True)
    device(folder, LifeCycle.ASSEMBLY_AND_TEST)
    home = str(folder.parent)
    assert openami("meter", "debug", "read", "--home", home, "--address", "0").status == 0
    refused = openami("meter", "debug", "challenge", "--home", home)
    assert "the port is open: no token is needed" in refused.sentence
