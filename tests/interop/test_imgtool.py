# SPDX-License-Identifier: Apache-2.0
"""imgtool, MCUboot's own tool, reads what we write and writes what we read."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from cli.runs import Run
from firmware.made import payload_of
from interop.meters import ROOT
from openami.firmware.image import Image

pytestmark = pytest.mark.interop

IMGTOOL = ROOT / ".venv-peers" / "bin" / "imgtool"
KINDS = ("ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-2048")
SLOT = "0x38000"
PAYLOAD = payload_of(5003)

PLAIN = ("-v", "1.2.3+4", "-s", "5")
RICH = (
    *("-v", "3.0.1+70000", "-s", "auto", "-d", "(1,2.0.0+7),(2, 0.9.0)"),
    *("--boot-record", "AMI-APP", "--vid", "example.com", "--cid", "meter"),
    *("--custom-tlv", "0xa0", "words", "--custom-tlv", "0x1a1", "0x0102", "-F", "0x40000"),
)


def imgtool(*words: object, status: int = 0) -> str:
    done = subprocess.run(
        [IMGTOOL, *map(str, words)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def payload(tmp_path: Path) -> Path:
    path = tmp_path / "app.bin"
    path.write_bytes(PAYLOAD)
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys, "image")


def sound(run: Run, *words: object) -> str:
    outcome = run(*words)
    assert outcome.status == 0, outcome.err
    return outcome.out


@pytest.mark.parametrize("options", [PLAIN, RICH], ids=["plain", "rich"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_reads_what_the_other_signs(
    run: Run, tmp_path: Path, payload: Path, kind: str, options: tuple[str, ...]
) -> None:
    key, public = tmp_path / "key.pem", tmp_path / "pub.pem"
    theirs, ours = tmp_path / "theirs.bin", tmp_path / "ours.bin"
    imgtool("keygen", "-t", kind, "-k", key)
    imgtool("getpub", "-k", key, "-e", "pem", "-o", public)
    header = ("-H", "0x200", "--pad-header", "--align", "8", "-S", SLOT)
    imgtool("sign", "-k", key, *header, *options, payload, theirs)
    sound(run, "sign", "-k", key, *header, *options, payload, ours)

    sound(run, "verify", "-k", public, "--slot-size", SLOT, theirs)
    assert "version" in imgtool("verify", "-k", public, ours)
    first, second = (Image.decode(path.read_bytes()) for path in (theirs, ours))
    assert second.signed == first.signed, "all that is signed is the same, octet for octet"
    assert [tlv.type for tlv in second.unprotected] == [tlv.type for tlv in first.unprotected]
    assert second.unprotected[:2] == first.unprotected[:2]
    assert first.encode() == theirs.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_each_signs_with_the_others_key(run: Run, tmp_path: Path, payload: Path, kind: str) -> None:
    key, public, made = tmp_path / "key.pem", tmp_path / "pub.pem", tmp_path / "made.bin"
    sound(run, "keygen", "-t", kind, "-k", key, "--public", public)
    imgtool("sign", "-k", key, "-H", "0x200", "--pad-header", "-S", SLOT, *PLAIN, payload, made)
    sound(run, "verify", "-k", public, "--counter", "5", made)
    imgtool("verify", "-k", public, made)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ed25519", ("--pure",)),
        ("ed25519", ("--sha", "512")),
        ("ecdsa-p256", ("--public-key-format", "full")),
        ("ecdsa-p256", ("--pad-sig",)),
        ("ecdsa-p256", ("--overwrite-only", "--pad")),
        ("rsa-3072", ("--load-addr", "0x20000000")),
    ],
    ids=lambda each: each if isinstance(each, str) else each[0],
)
def test_other_forms_that_imgtool_writes(
    run: Run, tmp_path: Path, payload: Path, kind: str, options: tuple[str, ...]
) -> None:
    key, made = tmp_path / "key.pem", tmp_path / "made.bin"
    imgtool("keygen", "-t", kind, "-k", key)
    words = ("-k", key, "-H", "0x200", "--pad-header", "-S", SLOT, *PLAIN)
    imgtool("sign", *words, *options, payload, made)
    sound(run, "verify", "-k", key, "--counter", "5", made)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--compression", "lzma2"), "unsupported"),
        (("--non-bootable",), "not-bootable"),
        (("-e", "big"), "magic"),
        (("-R", "0", "--pad"), "trailing"),
    ],
    ids=lambda each: each if isinstance(each, str) else each[0],
)
def test_forms_that_are_refused_by_name(
    run: Run, tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    key, made, payload = (tmp_path / name for name in ("key.pem", "made.bin", "app.bin"))
    payload.write_bytes(bytes(range(256)) * 40)
    imgtool("keygen", "-t", "ecdsa-p256", "-k", key)
    words = ("-k", key, "-H", "0x200", "--pad-header", "-S", SLOT, *PLAIN)
    imgtool("sign", *words, *options, payload, made)
    outcome = run("verify", "-k", key, "--json", made)
    assert outcome.status == 1
    assert json.loads(outcome.out)["reason"] == reason


@pytest.mark.parametrize("bits", ["128", "256"])
@pytest.mark.parametrize("kind", ["ecdsa-p256", "x25519"])
def test_their_encrypted_image_is_opened(
    run: Run, tmp_path: Path, payload: Path, kind: str, bits: str
) -> None:
    key, enc, enc_public = (tmp_path / name for name in ("key.pem", "enc.pem", "encpub.pem"))
    sealed, opened = tmp_path / "sealed.bin", tmp_path / "opened.bin"
    imgtool("keygen", "-t", "ed25519" if kind == "x25519" else kind, "-k", key)
    imgtool("keygen", "-t", kind, "-k", enc)
    imgtool("getpub", "-k", enc, "-e", "pem", "-o", enc_public)
    header = ("-H", "0x200", "--pad-header", "-S", SLOT)
    encrypts = ("-E", enc_public, "--encrypt-keylen", bits)
    imgtool("sign", "-k", key, *header, *PLAIN, *encrypts, payload, sealed)

    assert run("verify", "-k", key, sealed).status == 1
    sound(run, "verify", "-k", key, "--enc-key", enc, sealed)
    sound(run, "decrypt", "--enc-key", enc, sealed, opened)
    assert PAYLOAD in opened.read_bytes()
    imgtool("verify", "-k", key, opened)
    sound(run, "verify", "-k", key, opened)

    clear = tmp_path / "clear.bin"
    imgtool("sign", "-k", key, *header, *PLAIN, *encrypts, "--clear", payload, clear)
    sound(run, "verify", "-k", key, clear)


def test_ours_has_the_form_of_theirs_when_encrypted(
    run: Run, tmp_path: Path, payload: Path
) -> None:
    """imgtool cannot open images; what it says of ours must be what it says of its own."""
    key, enc = tmp_path / "key.pem", tmp_path / "enc.pem"
    theirs, ours = tmp_path / "theirs.bin", tmp_path / "ours.bin"
    for path in (key, enc):
        imgtool("keygen", "-t", "ecdsa-p256", "-k", path)
    words = ("-k", key, "-H", "0x200", "--pad-header", "-S", SLOT, *PLAIN, "-E", enc)
    imgtool("sign", *words, payload, theirs)
    sound(run, "sign", *words, payload, ours)
    first, second = (Image.decode(path.read_bytes()) for path in (theirs, ours))
    assert second.header == first.header
    assert second.protected == first.protected
    assert second.unprotected[:2] == first.unprotected[:2], "the hash of the clear payload too"
    assert [(tlv.type, len(tlv.value)) for tlv in second.unprotected if tlv.type != 0x22] == [
        (tlv.type, len(tlv.value)) for tlv in first.unprotected if tlv.type != 0x22
    ]


@pytest.mark.parametrize("option", ["--test", "--confirm"])
@pytest.mark.parametrize("align", ["8", "16", "32"])
def test_trailers_are_the_same(
    run: Run, tmp_path: Path, payload: Path, align: str, option: str
) -> None:
    key = tmp_path / "key.pem"
    theirs, ours = tmp_path / "theirs.bin", tmp_path / "ours.bin"
    imgtool("keygen", "-t", "ed25519", "-k", key)
    words = ("-k", key, "-H", "0x200", "--pad-header", "-S", SLOT, "--align", align, *PLAIN, option)
    more = () if align == "8" else ("--max-align", align)
    imgtool("sign", *words, "--pad", *more, payload, theirs)
    sound(run, "sign", *words, payload, ours)
    assert ours.read_bytes() == theirs.read_bytes(), "Ed25519 is deterministic: all is the same"
    dumped = imgtool("dumpinfo", ours)
    assert "image_ok" in dumped


def test_a_header_that_is_there_already(run: Run, tmp_path: Path) -> None:
    key, source = tmp_path / "key.pem", tmp_path / "app.bin"
    theirs, ours = tmp_path / "theirs.bin", tmp_path / "ours.bin"
    source.write_bytes(bytes(0x200) + PAYLOAD)
    imgtool("keygen", "-t", "ed25519", "-k", key)
    imgtool("sign", "-k", key, "-H", "0x200", "-S", SLOT, *PLAIN, source, theirs)
    sound(run, "sign", "-k", key, "-H", "0x200", "--header-there", *PLAIN, source, ours)
    assert ours.read_bytes() == theirs.read_bytes()


def test_what_imgtool_does_not_notice(run: Run, tmp_path: Path, payload: Path) -> None:
    """imgtool judges no counters and no areas: it accepts what a boot must refuse."""
    key, made, odd = tmp_path / "key.pem", tmp_path / "made.bin", tmp_path / "odd.bin"
    imgtool("keygen", "-t", "ecdsa-p256", "-k", key)
    imgtool("sign", "-k", key, "-H", "0x200", "--pad-header", "-S", SLOT, "-v", "1", payload, made)
    octets = bytearray(made.read_bytes())
    start = 0x200 + len(PAYLOAD)
    total = int.from_bytes(octets[start + 2 : start + 4], "little")
    octets[start + 2 : start + 4] = (total + 8).to_bytes(2, "little")
    odd.write_bytes(bytes(octets) + bytes.fromhex("5000040063000000"))
    imgtool("verify", "-k", key, odd)
    outcome = run("verify", "-k", key, "--json", odd)
    assert outcome.status == 1
    assert json.loads(outcome.out)["reason"] == "tlv-unprotected"


def test_what_imgtool_refuses_is_refused(run: Run, tmp_path: Path) -> None:
    """Whatever changes in the head or the TLVs: nothing is accepted that imgtool refuses."""
    payload, key = tmp_path / "short.bin", tmp_path / "key.pem"
    sound_file, odd = tmp_path / "sound.bin", tmp_path / "odd.bin"
    payload.write_bytes(PAYLOAD[:64])
    imgtool("keygen", "-t", "ecdsa-p256", "-k", key)
    words = ("-k", key, "-H", "0x40", "--pad-header", "-S", SLOT, *PLAIN)
    imgtool("sign", *words, payload, sound_file)
    octets = sound_file.read_bytes()
    draw = random.Random(11)
    stricter = 0
    for _ in range(20):
        changed = bytearray(octets)
        place = draw.choice([draw.randrange(32), draw.randrange(0x80, len(octets))])
        changed[place] ^= 1 << draw.randrange(8)
        odd.write_bytes(changed)
        accepted = run("verify", "-k", key, odd).status == 0
        done = subprocess.run(
            [IMGTOOL, "verify", "-k", key, odd], capture_output=True, check=False, timeout=60
        )
        assert not accepted or done.returncode == 0, f"octet {place} is {changed[place]:02X}"
        stricter += not accepted and done.returncode == 0
    assert stricter, "imgtool passes over what a boot must not"
