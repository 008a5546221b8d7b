# SPDX-License-Identifier: Apache-2.0
"""The tools against meters of each suite: mechanisms, envelopes, signatures, key files."""

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cli.processes import Listening
from cli.runs import Run
from cli.served_meter import ServedMeter
from dlmskeys import SUITE_0, SUITE_1, SUITE_2, keys, master_key, pair
from openami.cli.read_options import MECHANISMS
from openami.dlms.hls import Mechanism
from openami.dlms.security.suites import SecurityPolicy, SecuritySuite
from openami.transport.url import Url
from playbooks.demo_meter import CLIENT_TITLE, METER_TITLE
from playbooks.secure_meter import CLIENT, METER, Authority, SecureMeter, changed

PLAIN = Url("tcp", "127.0.0.1", 0)
ENERGY = "1.0.1.8.0.255"


def write_private(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(key.private_bytes(*form))


def files(folder: Path, suite: SecuritySuite) -> list[str]:
    """Our key files and the meter's certificates, as options."""
    ours, theirs = pair(suite, CLIENT), pair(suite, METER)
    write_private(folder / "sign.pem", ours.signing.key)
    write_private(folder / "agree.pem", ours.agreement.key)
    authority, title = Authority(), METER_TITLE.hex().upper()
    certificates = (
        authority.certificate,
        authority.issue(theirs.signing.key.public_key(), title),
        authority.issue(theirs.agreement.key.public_key(), title, signs=False, agrees=True),
    )
    pem = [x509.load_der_x509_certificate(c).public_bytes(Encoding.PEM) for c in certificates]
    (folder / "meter.pem").write_bytes(b"".join(pem))
    return [
        "--sign-key", str(folder / "sign.pem"), "--agree-key", str(folder / "agree.pem"),
        "--meter-certs", str(folder / "meter.pem"),
    ]  # fmt: skip


def global_keys(suite: SecuritySuite) -> list[str]:
    held = keys(suite)
    return [
        "--guek", held.encryption_key.hex(), "--gak", held.authentication_key.hex(),
        "--title", CLIENT_TITLE.hex(),
    ]  # fmt: skip


ENVELOPES = (
    (SUITE_0, []),
    (SUITE_0, ["--envelope", "general-glo"]),
    (SUITE_0, ["--envelope", "general"]),
    (SUITE_0, ["--envelope", "wrapped", "--kek", master_key(SUITE_0).octets.hex()]),
    (SUITE_0, ["--dedicated", "yes"]),
    (SUITE_1, ["--envelope", "one-pass"]),
    (SUITE_1, ["--envelope", "static"]),
    (SUITE_1, ["--sign", "yes"]),
    (SUITE_2, ["--dedicated", "yes", "--envelope", "general-glo"]),
    (SUITE_2, ["--envelope", "static", "--sign", "yes"]),
    (SUITE_2, ["--envelope", "wrapped", "--kek", master_key(SUITE_2).octets.hex()]),
)


@pytest.mark.parametrize(("suite", "how"), ENVELOPES)
def test_services_travel_in_each_envelope(
    suite: SecuritySuite, how: list[str], run: Run, tmp_path: Path
) -> None:
    held = files(tmp_path, suite) if suite is not SUITE_0 else []
    with ServedMeter(PLAIN, meter=SecureMeter(suite)) as served:
        outcome = run(served.url, *global_keys(suite), *held, *how, ENERGY)
    assert outcome.status == 0, outcome.err
    assert outcome.out == f"{ENERGY}  123456 Wh\n"


@pytest.mark.parametrize("suite", [SUITE_1, SUITE_2])
def test_a_signature_proves_who_we_are(suite: SecuritySuite, run: Run, tmp_path: Path) -> None:
    how = ["--mechanism", "ecdsa", *global_keys(suite), *files(tmp_path, suite)]
    with ServedMeter(PLAIN, meter=SecureMeter(suite, mechanism=Mechanism.HLS_ECDSA)) as served:
        outcome = run(served.url, *how, ENERGY)
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize("name", ["hls", "md5", "sha1", "sha256"])
def test_a_secret_proves_who_we_are(name: str, run: Run) -> None:
    meter = SecureMeter(SUITE_0)
    mechanism = MECHANISMS[name]
    changed(meter, mechanism=mechanism, secret=b"very secret", ciphering=None, credentials=None)
    how = ["--mechanism", name, "--secret", "very secret", "--title", CLIENT_TITLE.hex()]
    with ServedMeter(PLAIN, meter=meter) as served:
        outcome = run(served.url, *how, ENERGY)
        assert outcome.status == 0, outcome.err
        outcome = run(served.url, *how, "--secret", "another", ENERGY)
        assert outcome.status == 1
        assert "proof" in outcome.sentence


def test_keys_may_prove_and_protect_nothing_else(run: Run) -> None:
    meter = SecureMeter(SUITE_0)
    changed(meter, plain_context=True)
    with ServedMeter(PLAIN, meter=meter) as served:
        outcome = run(served.url, *global_keys(SUITE_0), "--plain-context", "yes", ENERGY)
        assert outcome.status == 0, outcome.err
        outcome = run(served.url, *global_keys(SUITE_0), ENERGY)
        assert outcome.status == 1
        assert "application-context-name-not-supported" in outcome.sentence


@pytest.mark.parametrize("policy", [0, 1, 2])
def test_less_than_both_is_sent_where_the_meter_takes_it(policy: int, run: Run) -> None:
    least = SecurityPolicy.from_version_0(policy)
    how = ["none", "authenticated", "encrypted"][policy]
    with ServedMeter(PLAIN, meter=SecureMeter(SUITE_0, policy=least)) as served:
        outcome = run(served.url, *global_keys(SUITE_0), "--cipher", how, ENERGY)
    assert outcome.status == 0, outcome.err


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (["--suite", "3"], "--suite '3' must be a security suite, 0 to 2"),
        (["--envelope", "pigeon"], "must be one of glo, general-glo, general, wrapped"),
        (["--cipher", "rot13"], "must be one of both, authenticated, encrypted, none"),
        (["--mechanism", "ecdsa"], "a private signing key is needed"),
        (["--envelope", "static"], "a key agreement key is needed"),
        (["--envelope", "wrapped"], "the master key is needed"),
        (["--mechanism", "sha256"], "a password is needed"),
        (["--suite", "2"], "keys do not fit suite 2"),
        (["--kek", "00"], "--kek must be 32 hex digits (16 octets) or 64"),
    ],
)
def test_what_does_not_go_together_is_said(how: list[str], sentence: str, run: Run) -> None:
    outcome = run("tcp://127.0.0.1:1", *global_keys(SUITE_0), *how, ENERGY)
    assert outcome.status == 2
    assert sentence in outcome.sentence


def test_files_that_hold_no_keys_are_named(run: Run, tmp_path: Path) -> None:
    held = files(tmp_path, SUITE_1)
    (tmp_path / "sign.pem").write_text("-----BEGIN nothing-----")
    who = [*global_keys(SUITE_1), "--sign", "yes"]
    outcome = run("tcp://127.0.0.1:1", *who, *held, ENERGY)
    assert outcome.status == 2
    assert f"{tmp_path / 'sign.pem'} holds no private key" in outcome.sentence

    write_private(tmp_path / "sign.pem", pair(SUITE_2, CLIENT).signing.key)
    outcome = run("tcp://127.0.0.1:1", *who, *held, ENERGY)
    assert "holds no key on secp256r1, the curve of suite 1" in outcome.sentence

    files(tmp_path, SUITE_1)
    (tmp_path / "meter.pem").write_bytes(b"\x30\x00")
    outcome = run("tcp://127.0.0.1:1", *who, *held, ENERGY)
    assert f"{tmp_path / 'meter.pem'} holds no certificate" in outcome.sentence


def test_too_little_protection_is_named_beside_wrong_keys(openami: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    with Listening("simulate", "--keys", keys, "--listen", "tcp://127.0.0.1:0") as meter:
        how = ("read", meter.url, "--client", 1, "--keys", keys, "0.0.42.0.0.255")
        refused = openami(*how, "--cipher", "encrypted")
    assert refused.status == 1
    assert "check the keys and both system titles, or give --cipher both" in refused.err


def test_meters_that_leave_the_header_out_of_the_tag_are_understood(
    openami: Run, tmp_path: Path
) -> None:
    keys, name = tmp_path / "keys.json", "0.0.42.0.0.255"
    words = ("--keys", keys, "--general-header", "without-header", "--listen", "tcp://127.0.0.1:0")
    with Listening("simulate", *words) as meter:
        how = ("read", meter.url, "--client", 1, "--keys", keys, "--envelope", "general", name)
        found = openami(*how, "--general-header", "without-header")
        refused = openami(*how)
    assert found.out == f"{name}  OAM0000000090001\n", found.err
    assert refused.status == 1
    assert refused.out == ""
