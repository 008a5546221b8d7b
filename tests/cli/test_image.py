# SPDX-License-Identifier: Apache-2.0
"""`openami image` on files: what a person sees, what a program reads, exit statuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.runs import Run
from firmware.made import FOLDER, VECTORS
from firmware.test_vectors import WITH_COUNTER_5
from openami.cli.image import image as command
from openami.concentrator.own.banks import KIND
from openami.firmware.image import Image
from openami.firmware.tlv import TlvType

PUBLIC = FOLDER / "fw-key-0-pub.pem"
PAYLOAD = bytes(range(256)) * 9


@pytest.fixture
def verb(openami: Run) -> Run:
    return openami


class Bench:
    """Keys and a payload in a folder."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.folder, self._run = folder, run
        self.payload = folder / "app.bin"
        self.payload.write_bytes(PAYLOAD)
        self.key, self.public = folder / "key.pem", folder / "pub.pem"
        self.enc, self.enc_public = folder / "enc.pem", folder / "enc-pub.pem"
        self("keygen", "-k", self.key, "--public", self.public)
        self("keygen", "-k", self.enc, "--public", self.enc_public)

    def __call__(self, *words: object, status: int = 0) -> str:
        outcome = self._run("image", *words)
        assert outcome.status == status, outcome.err
        return outcome.out if status == 0 else outcome.out + outcome.err

    def verdict(self, file: Path, *words: object) -> dict[str, Any]:
        outcome = self._run("image", "verify", "-k", self.public, "--json", *words, file)
        found: dict[str, Any] = json.loads(outcome.out)
        assert outcome.status == (0 if found["valid"] else 1)
        return found


@pytest.fixture
def bench(tmp_path: Path, openami: Run) -> Bench:
    return Bench(tmp_path, openami)


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["file"])
def test_each_image_gets_its_verdict(openami: Run, row: dict[str, Any]) -> None:
    wanted = WITH_COUNTER_5[row["file"]]
    words = ("image", "verify", "--key", PUBLIC, "--counter", 5, "--slot-size", "0x38000")
    outcome = openami(*words, "--json", FOLDER / row["file"])
    found = json.loads(outcome.out)
    assert outcome.status == (0 if wanted is None else 1)
    assert found["valid"] is (wanted is None)
    assert found["reason"] == (None if wanted is None else wanted.word)
    if "version" in row:
        assert found["version"] == row["version"]
        assert found["security_counter"] == row.get("sec_cnt")
    shown = openami(*words, FOLDER / row["file"])
    assert shown.status == outcome.status
    assert ("verdict           valid" in shown.out) is found["valid"]
    if wanted is not None:
        assert f"refused, {wanted.word}" in shown.out
        assert wanted.sentence in shown.out


def test_an_encrypted_image_is_verified_with_its_key(openami: Run) -> None:
    words = ("image", "verify", "-k", PUBLIC, "--counter", 5, FOLDER / "good-enc128.bin")
    outcome = openami(*words, "--enc-key", FOLDER / "enc-key.pem")
    assert outcome.status == 0
    assert "encrypted, opened with the key given" in outcome.out
    wrong = openami(*words, "--enc-key", PUBLIC)
    assert wrong.status == 2
    assert "holds no private key" in wrong.sentence


def test_dependencies_are_judged_when_asked(openami: Run) -> None:
    words = ("image", "verify", "-k", PUBLIC, FOLDER / "good-dep.bin")
    assert openami(*words).status == 0
    assert openami(*words, "--no-other-image").status == 1
    assert openami(*words, "--image", "1=1.9").status == 1
    assert openami(*words, "--image", "1=2.0.0").status == 0
    assert openami(*words, "--image", "one").status == 2


@pytest.mark.parametrize("room", [0x4000, 0x8000])
def test_an_image_must_leave_room_for_the_trailer(openami: Run, room: int) -> None:
    words = ("image", "verify", "-k", PUBLIC, "--slot-size", room, FOLDER / "good-1.2.3.bin")
    assert openami(*words).status == (1 if room == 0x4000 else 0)


def test_an_image_is_signed_and_verified(bench: Bench) -> None:
    made = bench.folder / "made.bin"
    bench("sign", "-k", bench.key, "-v", "1.2.3+4", "--counter", 7, bench.payload, made)
    found = bench.verdict(made, "--counter", 7)
    assert found == {
        "valid": True,
        "reason": None,
        "version": "1.2.3+4",
        "security_counter": 7,
    }
    assert bench.verdict(made, "--counter", 8)["reason"] == "counter-low"
    assert made.read_bytes()[0x200 : 0x200 + len(PAYLOAD)] == PAYLOAD


def test_an_image_is_encrypted_and_decrypted(bench: Bench) -> None:
    plain, sealed, opened = (bench.folder / name for name in ("plain", "sealed", "opened"))
    bench("sign", "-k", bench.key, "-v", "1.0.0", "-s", "auto", bench.payload, plain)
    bench("encrypt", "-k", bench.key, "-E", bench.enc_public, plain, sealed)
    assert PAYLOAD[:64] not in sealed.read_bytes()
    assert bench.verdict(sealed)["reason"] == "encrypted"
    assert bench.verdict(sealed, "--enc-key", bench.enc)["security_counter"] == 1 << 24
    bench("decrypt", "--enc-key", bench.enc, sealed, opened)
    assert PAYLOAD in opened.read_bytes()
    assert bench.verdict(opened)["valid"]
    again = bench("encrypt", "-k", bench.key, "-E", bench.enc_public, sealed, opened, status=2)
    assert "already" in again
    assert "wrapped for another key" in bench(
        "decrypt", "--enc-key", bench.key, sealed, opened, status=1
    )
    assert "no private key" in bench("decrypt", "--enc-key", plain, sealed, opened, status=2)
    assert "not marked" in bench("decrypt", "--enc-key", bench.enc, plain, opened, status=1)


def test_the_layout_is_drawn(bench: Bench) -> None:
    made = bench.folder / "made.bin"
    bench(
        *("sign", "-k", bench.key, "-v", "1.2.3", "-s", "5", "-d", "(1,2.0.0+1)", "--confirm"),
        *("--boot-record", "APP", "--vid", "example.com", "--cid", "meter", "-S", "0x8000"),
        *("--custom-tlv", "0xa0", "0x0102", "--rom-fixed", "0x40000", bench.payload, made),
    )
    lines = bench("inspect", made).splitlines()
    shown = "\n".join(lines)
    for words in (
        "SEC_CNT",
        "image 1, 2.0.0+1 or later",
        "APP 1.2.3",
        "UUID_VID",
        "vendor 00A0",
        "0102",
        "ROM_FIXED, at 0x40000",
        "asks for a permanent swap",
    ):
        assert words in shown
    drawn = [line for line in lines if line.startswith(" " * 9 + "+") or "|" in line]
    assert {line.index("|") if "|" in line else line.index("+") for line in drawn} == {9}
    assert lines[-1] == "00008000"
    found = json.loads(bench("inspect", "--json", made))
    assert found["image_octets"] < 0x8000
    assert [tlv["name"] for tlv in found["unprotected"]] == ["SHA256", "KEYHASH", "ECDSA_SIG"]
    assert bench.verdict(made, "--address", "0x40000")["valid"]
    assert bench.verdict(made, "--address", "0x8000")["reason"] == "address"


def test_what_is_no_image_is_told_in_one_sentence(bench: Bench, openami: Run) -> None:
    outcome = openami("image", "inspect", bench.payload)
    assert outcome.status == 1
    assert "no MCUboot image" in outcome.sentence
    truncated = openami("image", "inspect", FOLDER / "bad-truncated-payload.bin")
    assert "version 1." in truncated.out
    assert "ends before it is complete" in truncated.sentence
    absent = openami("image", "inspect", bench.folder / "absent")
    assert absent.status == 2
    assert "cannot be read" in absent.sentence


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("-v", "1.2.x"), "is no version"),
        (("-v", "1.0", "-s", "many"), "no security counter"),
        (("-v", "1.0", "-s", "4294967296"), "32 bits"),
        (("-v", "1.0", "-d", "1,2"), "tells of no images"),
        (("-v", "1.0", "-d", "(256,2)"), "0 to 255"),
        (("-v", "1.0", "--cid", "meter"), "--vid"),
        (("-v", "1.0", "--custom-tlv", "0x50", "x"), "vendor"),
        (("-v", "1.0", "--custom-tlv", "0xa0", "0x1"), "hexadecimal"),
        (("-v", "1.0", "--boot-record", "far too long a type"), "1 to 12"),
        (("-v", "1.0", "-H", "16"), "32 to 65535"),
        (("-v", "1.0", "--header-there"), "zeros"),
        (("-v", "1.0", "--test"), "--slot-size"),
        (("-v", "1.0", "-S", "0x800"), "exceed the slot"),
        (("-v", "1.0", "--clear"), "--encrypt"),
        (("-v", "1.0", "-F", "0", "-L", "0"), "exclude"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    bench: Bench, openami: Run, words: tuple[str, ...], problem: str
) -> None:
    target = bench.folder / "made.bin"
    outcome = openami("image", "sign", "-k", bench.key, *words, bench.payload, target)
    assert outcome.status == 2
    assert problem in outcome.sentence
    assert not target.exists()


def test_a_key_is_private_and_never_overwritten(bench: Bench) -> None:
    assert bench.key.stat().st_mode & 0o777 == 0o600
    before = bench.key.read_bytes()
    assert "never overwritten" in bench("keygen", "-k", bench.key, status=2)
    assert bench.key.read_bytes() == before


@pytest.mark.parametrize("kind", ["ed25519", "rsa-2048", "ecdsa-p384"])
def test_other_kinds_of_keys(bench: Bench, kind: str) -> None:
    key, public, made = (bench.folder / name for name in ("k", "p", "made"))
    bench("keygen", "-t", kind, "-k", key, "--public", public)
    bench("sign", "-k", key, "-v", "1.0", bench.payload, made)
    bench("verify", "-k", public, made)
    assert bench.verdict(made)["reason"] == "key-unknown"


def test_a_key_may_have_a_password(tmp_path: Path) -> None:
    runner, key, made = CliRunner(), tmp_path / "key.pem", tmp_path / "made.bin"
    payload = tmp_path / "app.bin"
    payload.write_bytes(PAYLOAD)
    words = ["keygen", "-p", "-k", str(key)]
    assert runner.invoke(command, words, input="secret\nsecret\n").exit_code == 0
    assert b"ENCRYPTED" in key.read_bytes()
    sign = ["sign", "-k", str(key), "-v", "1.0", str(payload), str(made)]
    refused = runner.invoke(command, sign)
    assert "needs a password: give --password" in str(refused.exception)
    assert runner.invoke(command, [*sign, "-p"], input="secret\n").exit_code == 0
    assert made.exists()


def test_a_manifest_is_judged_with_its_image(openami: Run) -> None:
    key = FOLDER / "suit-examples-pub.pem"
    device = (
        *("--vendor", "fa6b4a53-d5ad-5fdf-be9d-e663e4d41ffe"),
        *("--class", "1492af1425695e48bf429b2d51f2ab45"),
    )
    words = ("image", "manifest", "-k", key, FOLDER / "suit-example1.cbor")
    shown = openami(*words, *device)
    assert shown.status == 0
    assert "http://example.com/file.bin" in shown.out
    assert "34,768" in shown.out
    found = json.loads(openami(*words, *device, "--json").out)
    assert found["valid"]
    assert found["components"][0]["size"] == 34768
    for more, reason in (
        ((), "condition"),
        ((*device, "--sequence", "2"), "sequence-low"),
        ((*device, "--image", FOLDER / "good-1.2.3.bin"), "condition"),
        ((*device, "-k", PUBLIC), None),
    ):
        outcome = openami(*words, *more, "--json")
        assert json.loads(outcome.out)["reason"] == reason
        assert outcome.status == (0 if reason is None else 1)
    other = ("image", "manifest", "-k", PUBLIC, FOLDER / "suit-example1.cbor")
    assert "refused, signature-wrong" in openami(*other).out
    assert openami(*words, "--vendor", "12").status == 2


@pytest.mark.long
def test_the_page_on_firmware_shows_what_works(
    openami: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "firmware.md"
    lines = page.read_text("utf-8").splitlines()
    shown = [line.split()[1:] for line in lines if line.startswith("openami image ")]
    commands = [words for words in shown if "UUID" not in words]
    monkeypatch.chdir(tmp_path)
    Path("app.bin").write_bytes(PAYLOAD)
    for words in commands:
        assert openami(*words).status == 0, words
    assert {words[1] for words in shown} == set(command.commands) - {"send"}  # needs a meter


@pytest.mark.long
def test_metrology_is_built_for_its_seal_and_has_a_budget(bench: Bench) -> None:
    target = bench.folder / "metrology.bin"
    bench("build", "-k", bench.key, "-v", "1.0.0", "--counter", 3, "--metrology", target)
    assert bench.verdict(target, "--counter", 3)["version"] == "1.0.0+0"
    programs = json.loads(bench("budget", "--json"))["programs"]
    assert set(programs) == {"secure", "management", "metrology", "concentrator"}
    assert all(each["octets"] <= each["room"] for each in programs.values())


def test_a_concentrators_image_is_built_of_this_package(bench: Bench) -> None:
    target = bench.folder / "concentrator.bin"
    bench("build", "-k", bench.key, "-v", "1.0.0", "--counter", 3, "--concentrator", target)
    assert bench.verdict(target, "--counter", 3)["version"] == "1.0.0+0"
    found = Image.decode(target.read_bytes())
    KIND.judge(found)
    assert found.one(TlvType.UUID_CID) == KIND.class_id
