# SPDX-License-Identifier: Apache-2.0
"""`openami credentials`: from the ceremony to meters that no longer believe a stolen key."""

import json
import re
from pathlib import Path

import click
import pytest

from cli.runs import Run
from openami.device import factory
from openami.device.bootregion import BootRegion
from openami.device.files import FLASH_FILE, OTP_FILE, SECURE
from openami.device.flash import FlashFile
from openami.device.otp import Otp
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.lifecycle.vault import LOG

CARD = re.compile(r"([A-Z2-7]{4} ){17}[A-Z2-7]{4}")


@pytest.fixture
def verb() -> str:
    return ""


class Ceremony:
    """A folder of keys whose cards lie in files."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.run, self.folder = run, folder
        self.vault, self.cards = folder / "vault", folder / "cards"
        self("credentials", "begin", self.vault, "--signing", 2, "--card-files", self.cards)

    def __call__(self, *words: object) -> str:
        outcome = self.run(*words)
        assert outcome.status == 0, outcome.err
        return outcome.out

    def with_cards(self, group: str, *numbers: int) -> list[object]:
        return [word for n in numbers for word in ("--card", self.cards / f"{group}-{n}.card")]

    def build(self, name: str, signer: int, counter: int, *more: object) -> Path:
        path = self.folder / name
        key = self.vault / f"signing-{signer}.key.pem"
        words = ("-k", key, "-v", f"1.{counter}.0", "-s", counter)
        self("image", "build", *words, *self.with_cards("signing", 1, 3), *more, path)
        return path


@pytest.fixture
def ceremony(tmp_path: Path, openami: Run) -> Ceremony:
    return Ceremony(tmp_path, openami)


def test_a_delivery_makes_a_meter_that_believes_the_signing_keys(ceremony: Ceremony) -> None:
    image = ceremony.build("meter.bin", 1, 1)
    target = ceremony.folder / "delivery"
    ceremony("credentials", "delivery", ceremony.vault, image, target)
    delivered = factory.brought(target)
    assert delivered is not None
    home = ceremony.folder / "meter"
    home.mkdir()
    factory.make(home, delivered)
    region = BootRegion.read(FlashFile.open(home / SECURE / FLASH_FILE, M2351_FLASH_OCTETS))
    otp = Otp.open(home / SECURE / OTP_FILE)
    region.verify(otp)
    ids = [
        row["id"]
        for row in json.loads(ceremony("credentials", "list", ceremony.vault, "--json"))["keys"]
    ]
    assert region.root is not None
    assert [region.root.keyhash.hex(), *(key.keyhash.hex() for key in region.trusted(otp))] == ids


@pytest.mark.long
def test_a_key_that_was_given_up_signs_no_delivery_and_is_not_in_one(ceremony: Ceremony) -> None:
    statement = ceremony.folder / "revocation.bin"
    words = ("credentials", "revoke", ceremony.vault, "signing-1", statement)
    assert "gives up signing-1" in ceremony(*words, *ceremony.with_cards("root", 2, 3))
    old = ceremony.build("old.bin", 1, 1)
    target = ceremony.folder / "delivery"
    refused = ceremony.run("credentials", "delivery", ceremony.vault, old, target)
    assert refused.status == 1
    assert "signed with a key that is not trusted" in refused.sentence
    new = ceremony.build("new.bin", 2, 2, "--revocation", statement)
    ceremony("credentials", "delivery", ceremony.vault, new, target)
    assert [path.name for path in (target / "trusted").iterdir()] == ["signing-2.pem"]
    shown = ceremony("credentials", "list", ceremony.vault, "--log")
    assert re.search(r"signing-1 +revoked", shown)
    assert re.search(r"signing-2 +trusted", shown)
    assert "cards [1, 3], key signing-2, purpose new.bin, version 1.2.0+0" in shown


def test_cards_that_do_not_fit_are_one_sentence(ceremony: Ceremony) -> None:
    key, target = ceremony.vault / "signing-1.key.pem", ceremony.folder / "meter.bin"
    words = ("image", "build", "-k", key, "-v", "1.0.0", "-s", 1)
    odd = ceremony.folder / "odd.card"
    odd.write_text("ABCD")
    for cards, sentence in (
        (ceremony.with_cards("signing", 1), "1 of 2 shares are there: ask another holder"),
        (ceremony.with_cards("signing", 1, 1), "card 2 is share 1 again"),
        (ceremony.with_cards("root", 1, 2), "these cards do not open"),
        (["--card", odd], "the card has 4 letters, not 72"),
        (["--card", ceremony.folder / "none"], "cannot be read as a card"),
    ):
        refused = ceremony.run(*words, *cards, target)
        assert refused.status
        assert sentence in refused.sentence
        assert not target.exists()


def test_no_folder_is_one_sentence(openami: Run, tmp_path: Path) -> None:
    refused = openami("credentials", "list", tmp_path)
    assert refused.status == 2
    assert f"{tmp_path} holds no {LOG}" in refused.sentence


def test_holders_copy_their_cards_and_open_a_key_from_the_keyboard(
    openami: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen: list[str] = []
    papers: dict[str, str] = {}
    holder, tries = "", 0

    def prompt(text: str, **_: object) -> str:
        nonlocal holder, tries
        if text.startswith("Copy it"):
            tries += 1
            papers[holder] = next(filter(CARD.fullmatch, map(str.strip, reversed(screen))))
            return "A" if tries == 1 else papers[holder]
        if "name of its holder" in text:
            holder = text.split(":", maxsplit=1)[0]
            return "Ada"
        if match := re.match(r"Card (\d) .*for the key signing-1", text):
            return papers[f"Card {match[1]} of the signing keys"].lower()
        return ""

    monkeypatch.setattr(click, "prompt", prompt)
    with monkeypatch.context() as shown:
        shown.setattr(click, "echo", screen.append)
        assert openami("credentials", "begin", tmp_path / "vault", "--signing", 1).status == 0
    assert len(papers) == 6
    image = tmp_path / "meter.bin"
    words = ("image", "build", "-k", tmp_path / "vault" / "signing-1.key.pem", "-v", "1.0.0")
    assert openami(*words, "-s", 1, image).status == 0
    assert image.exists()
    log = openami("credentials", "list", tmp_path / "vault", "--log").out
    assert log.count("handed out  card") == 6
    assert log.count("holder Ada") == 6


def test_a_ceremony_that_was_broken_off_says_that_its_folder_is_worth_nothing(
    openami: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> str:
        raise click.Abort

    monkeypatch.setattr(click, "prompt", gone)
    outcome = openami("credentials", "begin", tmp_path / "vault")
    assert outcome.status == 1
    assert f"cards of {tmp_path / 'vault'} are lost: remove it" in outcome.sentence
