# SPDX-License-Identifier: Apache-2.0
"""`openami simulate` in suites 1 and 2, and its M-Bus and data protection."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.processes import Listening
from cli.runs import Run
from openami.cli.simulated_keys import ManagersKeys
from openami.cli.simulated_ports import TrialProtection
from openami.cli.simulating import Calendar, reference
from openami.cosem.behaviour.bindings import bring_to_life
from openami.cosem.behaviour.host import Host
from openami.cosem.behaviour.layers import LayerKeys, take_off
from openami.cosem.classes.protection import (
    AttributesToGet,
    DataProtection,
    IdentifiedKey,
    ProtectionOptions,
    ProtectionParameters,
    ProtectionType,
)
from openami.cosem.classes.references import RestrictedAttribute
from openami.cosem.device import Ciphering
from openami.cosem.dump import Dump
from openami.cosem.model import Refused
from openami.cosem.simulation import Secrets, simulated
from openami.dlms.data import Data, OctetString, Structure, decode
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.keyset import KeySet
from openami.lifecycle.keys import MeterKeys

NAME, NAME_LINE = "0.0.42.0.0.255", "0.0.42.0.0.255  OAM0000000090001\n"
ANY = "tcp://127.0.0.1:0"


@pytest.fixture(params=[1, 2], ids=["suite 1", "suite 2"], scope="module")
def suite(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def folder(suite: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(f"suite-{suite}")


@pytest.fixture(scope="module")
def meter(suite: int, folder: Path) -> Iterator[Listening]:
    keys, certs = folder / "keys.json", folder / "certs"
    words = ("--suite", suite, "--keys", keys, "--certs", certs, "--listen", ANY)
    with Listening("simulate", *words) as served:
        yield served


def pairs(folder: Path) -> list[object]:
    """The options of a client with key pairs."""
    certs = folder / "certs"
    return [
        *("--keys", folder / "keys.json", "--meter-certs", certs / "meter.pem"),
        *("--sign-key", certs / "client-sign.key", "--agree-key", certs / "client-agree.key"),
    ]


@pytest.mark.parametrize("envelope", ["glo", "general", "wrapped", "one-pass", "static"])
@pytest.mark.parametrize("client", [1, 2])
def test_each_envelope_signed(
    envelope: str, client: int, meter: Listening, folder: Path, openami: Run
) -> None:
    words = ("--client", client, "--mechanism", "ecdsa" if client == 2 else "gmac")
    outcome = openami(
        "read", meter.url, *words, *pairs(folder), "--envelope", envelope, "--sign", "yes", NAME
    )
    assert (outcome.status, outcome.out) == (0, NAME_LINE), outcome.err


def test_the_security_setup_tells_suite_and_certificates(
    meter: Listening, suite: int, folder: Path, openami: Run
) -> None:
    setup = "0.0.43.0.0.255"
    asked = (f"{setup}:security_suite", f"{setup}:certificates")
    outcome = openami("read", meter.url, "--client", 1, *pairs(folder), *asked, "--json")
    assert outcome.status == 0, outcome.err
    shown, certificates = (row["value"] for row in json.loads(outcome.out))
    assert shown == suite
    entities = [(row[0], row[1]) for row in certificates]
    assert entities == [(0, 0), (0, 1), (2, 3), (1, 0), (1, 1)]


def test_another_signing_key_is_no_proof(meter: Listening, folder: Path, openami: Run) -> None:
    certs = folder / "certs"
    words = ("--client", 2, "--mechanism", "ecdsa", "--keys", folder / "keys.json")
    forged = ("--sign-key", certs / "client-agree.key", "--meter-certs", certs / "meter.pem")
    outcome = openami("read", meter.url, *words, *forged, NAME)
    assert outcome.status == 1
    assert "refuses our proof of the key" in outcome.sentence


def test_it_goes_on_with_the_same_keys_and_certificates(openami: Run, tmp_path: Path) -> None:
    keys, certs = tmp_path / "keys.json", tmp_path / "certs"
    with Listening("simulate", "--suite", 1, "--keys", keys, "--certs", certs, "--listen", ANY):
        before = {each.name: each.read_bytes() for each in certs.iterdir()}
    assert json.loads(keys.read_text())["suite"] == 1
    with Listening("simulate", "--keys", keys, "--certs", certs, "--listen", ANY) as meter:
        assert {each.name: each.read_bytes() for each in certs.iterdir()} == before
        words = ("--client", 2, "--mechanism", "ecdsa", *pairs(tmp_path))
        outcome = openami("read", meter.url, *words, NAME)
    assert (outcome.status, outcome.out) == (0, NAME_LINE), outcome.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--suite", "1"), "give --certs FOLDER"),
        (("--suite", "0", "--certs", "certs"), "give --suite 1 or 2"),
        (("--suite", "2", "--keys", "{keys}", "--certs", "certs"), "holds keys of suite 1"),
        (("--keys", "{keys}", "--certs", "{certs}", "--title", "4F414DFE00000002"), "belongs to"),
        (("--certs", "{certs}", "--suite", "2"), "no key on secp384r1"),
        (("--certs", "/", "--suite", "1"), "/ is no folder with meter.pem"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: tuple[str, ...], sentence: str, openami: Run, tmp_path: Path
) -> None:
    keys, certs = tmp_path / "keys.json", tmp_path / "certs"
    with Listening("simulate", "--suite", 1, "--keys", keys, "--certs", certs, "--listen", ANY):
        pass
    given = [word.format(keys=keys, certs=certs) for word in words]
    outcome = openami("simulate", *given)
    assert outcome.status in {1, 2}
    assert sentence in outcome.sentence


def test_what_is_no_serial_line_is_not_served(openami: Run, tmp_path: Path) -> None:
    plain = tmp_path / "file"
    plain.write_text("")
    for path in ("/dev/null", plain):
        outcome = openami("simulate", "--listen", f"hdlc+serial://{path}")
        assert outcome.status == 1
        assert "is no serial line: give a device" in outcome.sentence


def test_a_slave_is_installed_captured_and_keyed(openami: Run, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    with Listening("simulate", "--keys", keys, "--listen", ANY) as meter:
        manager = ("--client", 1, "--keys", keys)

        def call(what: str, *argument: object) -> None:
            at = f"0.1.24.1.0.255:{what}"
            outcome = openami("call", meter.url, *manager, at, *argument)
            assert outcome.status == 0, outcome.err

        call("slave_install", 5)
        while read(openami, meter, keys, "primary_address") == 0:
            pass
        assert read(openami, meter, keys, "primary_address") == 5
        call("capture")
        assert read(openami, meter, keys, "access_number") >= 1
        call("transfer_key", "0x" + "11" * 24)
        outcome = openami("call", meter.url, *manager, "0.1.24.1.0.255:capture")
        assert outcome.status == 1, outcome.out  # nobody can read it
        call("set_encryption_key", "0x" + "22" * 16)
        call("capture")
        call("slave_deinstall")


def read(openami: Run, meter: Listening, keys: Path, attribute: str) -> int:
    at = f"0.1.24.1.0.255:{attribute}"
    outcome = openami("read", meter.url, "--client", 1, "--keys", keys, at, "--json")
    assert outcome.status == 0, outcome.err
    value: int = json.loads(outcome.out)[0]["value"]
    return value


METER, CENTRE = bytes.fromhex("4F414DFE00000001"), bytes.fromhex("4F414DF000000001")
BOTH = ProtectionType.AUTHENTICATION_AND_ENCRYPTION


def test_the_manager_reads_through_data_protection() -> None:
    dump = Dump.from_json(reference())
    keys = MeterKeys.generate()
    held = KeySet(encryption_key=keys.guek, authentication_key=keys.gak)
    ciphering = Ciphering(cipher=Cipher(held), counters=CounterBlock(1, 2**32 - 1))
    device = simulated(dump, Secrets(password=keys.lls, ciphering=ciphering)).device
    managers = ManagersKeys(
        keys=keys, path=None, ciphering=ciphering, master_key=MasterKey(keys.kek)
    )
    protection = TrialProtection(device, managers, dump)
    at = Obis(0, 0, 43, 2, 0, 255)
    device.add(DataProtection(at, required_protection=0x6C))
    ports = {at: protection}
    bring_to_life(device, Host(clock=Calendar(1), entropy=os.urandom, port=ports.get))
    options = ProtectionOptions(b"", METER, CENTRE, b"", IdentifiedKey(0))
    layers = (ProtectionParameters(BOTH, options),)

    def got(class_id: int, name: str, attribute: int) -> Data:
        wanted = RestrictedAttribute(class_id, Obis.parse(name), attribute, 0, None)
        found = device[at].invocations[1](AttributesToGet((wanted,), layers))
        centre = LayerKeys(
            own_title=CENTRE, peer_title=METER, cipher=Cipher(held), counters=CounterBlock(1, 9)
        )
        octets = take_off(centre, found.protection_parameters, found.protected_data)
        return decode(octets)

    assert got(1, NAME, 2) == Structure([OctetString(b"OAM0000000090001")])
    for class_id, name, attribute in ((30, str(at), 2), (1, "0.0.96.1.77.255", 2)):
        with pytest.raises(Refused):
            got(class_id, name, attribute)
