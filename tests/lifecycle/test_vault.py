# SPDX-License-Identifier: Apache-2.0
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from openami.firmware.keys import VerifyingKey
from openami.firmware.revocation import name_of
from openami.firmware.shares import Share, join
from openami.lifecycle.vault import LOG, Group, Quorum, Vault
from openami.runtime.errors import UserError

DAY = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Vault, dict[Group, tuple[Share, ...]]]:
    vault, cards = Vault.begin(
        tmp_path / "keys",
        signing=2,
        quorum=Quorum(needed=2, cards=3),
        entropy=os.urandom,
        now=lambda: DAY,
    )
    return vault, dict(cards)


Made = tuple[Vault, dict[Group, tuple[Share, ...]]]


def test_a_quorum_opens_a_key_and_openssl_s_format_does_too(made: Made) -> None:
    vault, cards = made
    shares = cards[Group.SIGNING]
    key = vault.private("signing-1", shares[1:])
    assert name_of(VerifyingKey.of(key)) == name_of(vault.public("signing-1"))
    pem = (vault.folder / "signing-1.key.pem").read_bytes()
    assert load_pem_private_key(pem, join(shares[:2]).hex().encode())
    assert (vault.folder / "signing-1.key.pem").stat().st_mode & 0o777 == 0o600


def test_one_card_opens_nothing_nor_do_those_of_the_other_group(made: Made) -> None:
    vault, cards = made
    with pytest.raises(UserError, match="1 of 2 shares are there"):
        vault.private("signing-1", cards[Group.SIGNING][:1])
    with pytest.raises(UserError, match="use those of the root key"):
        vault.private("root", cards[Group.SIGNING])


def test_an_exchanged_pair_of_keys_is_noticed(made: Made) -> None:
    vault, cards = made
    for end in (".pem", ".key.pem"):
        source, target = (vault.folder / f"signing-{number}{end}" for number in (2, 1))
        target.write_bytes(source.read_bytes())
    with pytest.raises(UserError, match="another key than the one that"):
        vault.private("signing-1", cards[Group.SIGNING])


def test_an_exchanged_private_key_is_noticed(made: Made) -> None:
    vault, cards = made
    other = (vault.folder / "signing-2.key.pem").read_bytes()
    (vault.folder / "signing-1.key.pem").write_bytes(other)
    with pytest.raises(UserError, match="is not the private key of signing-1"):
        vault.private("signing-1", cards[Group.SIGNING])


@pytest.mark.parametrize("line", [0, 1])
def test_an_altered_log_is_noticed(made: Made, line: int) -> None:
    vault, _ = made
    vault.note("opened", key="signing-1", cards=[1, 2])
    vault.note("opened", key="signing-2", cards=[1, 3])
    path = vault.folder / LOG
    lines = path.read_text().splitlines()
    lines[line] = lines[line].replace("2026-03-01", "2026-03-02")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match=f"line {line + 2}, does not follow"):
        Vault.open(vault.folder, lambda: DAY)


def test_the_last_signing_key_stays(made: Made) -> None:
    vault, cards = made
    assert vault.revoke("signing-1", cards[Group.ROOT]).keys == (
        name_of(vault.public("signing-1")),
    )
    again = vault.revoke("signing-1", cards[Group.ROOT])  # the file of the first was lost
    assert len(again.keys) == 1
    with pytest.raises(UserError, match="signing-2 is the last signing key"):
        vault.revoke("signing-2", cards[Group.ROOT])
    with pytest.raises(UserError, match="'root' is no signing key"):
        vault.revoke("root", cards[Group.ROOT])


def test_a_folder_in_use_is_left_alone(made: Made) -> None:
    vault, _ = made
    before = (vault.folder / LOG).read_bytes()
    with pytest.raises(UserError, match="is not empty, and keys are never overwritten"):
        Vault.begin(
            vault.folder,
            signing=1,
            quorum=Quorum(needed=2, cards=2),
            entropy=os.urandom,
            now=lambda: DAY,
        )
    assert (vault.folder / LOG).read_bytes() == before
