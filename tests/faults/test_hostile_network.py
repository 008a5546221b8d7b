# SPDX-License-Identifier: Apache-2.0
"""What strangers can send: garbage on every port, wrong certificates, forged and repeated pushes.

One AMI runs through all of it; at the end the same processes run and every interval is stored.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from openami.dlms.gateway import GatewayResponse
from openami.dlms.sap import Sap
from openami.dlms.wrapper import WrapperFrame
from openami.exchange.channels import Channel
from openami.lifecycle.authority import Authority
from openami.lifecycle.plan import concentrator_title, meter_title
from openami.store import inbox
from openami.store.database import open_database
from openami.store.intervals import Lake
from openami.transport.tls import Role
from system.ami import DAY_US, INSTALLED_US, Ami
from system.strangers import Impostor, crowd, is_hung_up_on, send_garbage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

METERS = 4
VICTIM, FORGER = 2, 4  # both of the fleet, both in the south
CROWD = 500
NO_TLS = ("127.0.0.1:", "does not speak TLS there", "it sent HTTP to a TLS port of DLMS/COSEM")
LISTENERS = {  # which process listens, and what stands in its log then
    "web": ("web", ("Invalid HTTP request received",)),
    "headend": ("headend", NO_TLS),
    "concentrator-north": ("concentrator-north", NO_TLS),
    "concentrator-south": ("concentrator-south", NO_TLS),
    "meter": (
        "management",
        (
            *("127.0.0.1:", "wrapper version is 4745, not 0001; this is no DLMS/COSEM"),
            "32 connections are open already: raise max_connections",
        ),
    ),
}


@pytest.fixture(scope="module")
def ami(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ami]:
    """One AMI for all; at the end nothing has died and nothing is missing."""
    with Ami(tmp_path_factory.mktemp("hostile"), meters=METERS, speed=1800) as ami:
        ami.until(lambda: ami.complete(INSTALLED_US + DAY_US), "the first day is stored", 120)
        pids = ami.pids()
        yield ami
        end_us = ami.now_slot_us()
        ami.until(lambda: ami.complete(end_us), "every interval arrives", 120)
        assert ami.pids() == pids, "a process died"
        assert ami.tracebacks() == {}
    for meter_id in range(1, METERS + 1):
        values = ami.stored(meter_id, Channel.IMPORT_WH, end_us)
        measured = {start: value for start, (value, _) in values.items()}
        assert measured == ami.expected(meter_id, INSTALLED_US, end_us)
    versions = Lake(ami.layout.lake).versions(None, None, INSTALLED_US, end_us)
    identity = versions.select("meter_id", "channel", "start", "version")
    assert identity.is_unique().all(), "a version of a value is stored twice"


@pytest.fixture(scope="module")
def engine(ami: Ami) -> Iterator[Engine]:
    engine = open_database(ami.layout.database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def impostor(ami: Ami, tmp_path: Path) -> Impostor:
    return Impostor(Authority.load(ami.layout.authority), tmp_path)


def flows(ami: Ami) -> None:
    """Wait until an interval that ends from now on is stored for every meter."""
    end_us = ami.now_slot_us() + 2 * 1_800_000_000
    ami.until(lambda: ami.clock.now_us() > end_us, "an interval passes", 60)
    ami.until(lambda: ami.complete(end_us), "readings flow", 60)


def read(ami: Ami, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `openami read` against the full meter's plain listener."""
    command = [sys.executable, "-m", "openami", "read", ami.plain_url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("listener", LISTENERS)
def test_garbage_harms_nobody(ami: Ami, listener: str) -> None:
    process, sentences = LISTENERS[listener]
    before = len(log_of(ami, process))
    send_garbage(ami.ports()[listener])
    with crowd(ami.ports()[listener], CROWD):
        flows(ami)
    flows(ami)
    said = log_of(ami, process)[before:]
    assert [sentence for sentence in sentences if sentence not in said] == []


def test_the_keys_of_another_meter_open_nothing(ami: Ami) -> None:
    other = ami.layout.meter(meter_title(VICTIM)) / "keys.json"
    refused = read(ami, "--keys", str(other), "--client", "1", "1.0.1.8.0.255")
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "check the keys and both system titles" in refused.stderr
    assert refused.stderr.count("\n") == 1

    own = ami.layout.meter(meter_title(1)) / "keys.json"
    answer = read(ami, "--keys", str(own), "--client", "1", "1.0.1.8.0.255", "1.0.99.99.9.255")
    assert answer.returncode == 1
    assert answer.stdout.startswith("1.0.1.8.0.255  ")
    assert "1.0.99.99.9.255 is not among the" in answer.stderr


@pytest.mark.parametrize(
    ("listener", "role", "sentence"),
    [
        ("concentrator-south", Role.CONCENTRATOR, "has role concentrator (OU) where meter"),
        ("concentrator-south", Role.CLIENT, "has role client (OU) where meter"),
        ("headend", Role.METER, "has role meter (OU) where concentrator"),
    ],
)
def test_a_certificate_of_another_role_is_not_let_in(
    ami: Ami, impostor: Impostor, listener: str, role: Role, sentence: str
) -> None:
    def attempt() -> bytes:
        with impostor.connected(ami.ports()[listener], meter_title(VICTIM), role) as line:
            return line.recv(1)

    assert is_hung_up_on(attempt)
    ami.until(lambda: sentence in log_of(ami, listener), f"{listener} says {sentence!r}", 20)


@pytest.mark.parametrize("listener", ["concentrator-south", "headend"])
def test_a_certificate_of_another_authority_is_not_let_in(
    ami: Ami, tmp_path: Path, listener: str
) -> None:
    role = Role.METER if listener.startswith("concentrator") else Role.CONCENTRATOR
    stranger = Impostor(Authority.create(tmp_path / "other"), tmp_path)

    def attempt() -> bytes:
        with stranger.connected(ami.ports()[listener], meter_title(VICTIM), role) as line:
            return line.recv(1)

    assert is_hung_up_on(attempt)
    sentence = "it was issued by an authority that is not trusted here"
    ami.until(lambda: sentence in log_of(ami, listener), f"{listener} says {sentence!r}", 20)


def test_forged_and_repeated_pushes_are_rejected_and_block_nothing(
    ami: Ami, engine: Engine, impostor: Impostor
) -> None:
    """A meter with a sound certificate sends what others sealed, what was altered, what was."""
    own, other = push_of(ami, FORGER), push_of(ami, VICTIM)
    altered = own[:-20] + bytes([own[-20] ^ 1]) + own[-19:]
    unprotected = bytes.fromhex("0f 00000001 00 02020901410901420100")
    pushes = {
        "another meter's": other,
        "altered": altered,
        "unprotected": unprotected,
        "repeated": own,
    }
    before = ami.figures("headend")
    south = ami.ports()["concentrator-south"]

    with impostor.connected(south, meter_title(FORGER), Role.METER) as line:
        for push in pushes.values():
            line.sendall(WrapperFrame(Sap(1), Sap(64), push).encode())
        ami.until(
            lambda: int(ami.figures("headend")["rejected"]) == int(before["rejected"]) + 3,
            "three pushes are rejected",
            30,
        )

    rejected = inbox.rejections(engine, limit=3)
    assert {each.octets for each in rejected} == {other, altered, unprotected}
    reasons = [each.reason for each in rejected]
    assert any(meter_title(VICTIM).hex().upper() in reason for reason in reasons), reasons
    assert any("general-ciphering" in reason for reason in reasons), reasons
    ami.until(
        lambda: int(ami.figures("headend")["repeated"]) > int(before["repeated"]),
        "the repeated push is known",
        30,
    )
    ami.until(lambda: depth(ami) <= METERS, "the journal is empty again", 30)
    flows(ami)


def test_a_concentrator_speaks_for_its_own_meters_only(
    ami: Ami, engine: Engine, impostor: Impostor
) -> None:
    push = push_of(ami, 1)  # of the north
    frame = GatewayResponse(physical_address=meter_title(1), apdu=push).encode()
    before = int(ami.figures("headend")["rejected"])

    south = concentrator_title(2)
    with impostor.connected(ami.ports()["headend"], south, Role.CONCENTRATOR) as line:
        line.sendall(WrapperFrame(Sap(1), Sap(64), frame).encode())
        ami.until(
            lambda: int(ami.figures("headend")["rejected"]) == before + 1, "it is rejected", 30
        )

    assert "which is not the meter's" in inbox.rejections(engine, limit=1)[0].reason
    flows(ami)


def push_of(ami: Ami, meter_id: int) -> bytes:
    """Return a push of a meter as the lake kept it."""
    rows = Lake(ami.layout.lake).versions([meter_id], [1], INSTALLED_US, INSTALLED_US + DAY_US)
    message = Lake(ami.layout.lake).raw_message(rows["message_id"].max())  # type: ignore[arg-type]
    assert message is not None
    octets = message["octets"]
    assert isinstance(octets, bytes)
    return octets


def log_of(ami: Ami, process: str) -> str:
    return (ami.layout.run / f"{process}.log").read_text()


def depth(ami: Ami) -> int:
    return sum(int(ami.figures(f"concentrator-{region}")["journal"]) for region in ami.cables)
