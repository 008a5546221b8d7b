# SPDX-License-Identifier: Apache-2.0
"""`openami read` over datagrams, DTLS and CoAP, and through a gateway."""

from pathlib import Path

import pytest

from cli.processes import Listening
from cli.runs import Run
from cli.served_meter import ServedMeter
from openami.cli.read_options import PARSERS
from openami.cli.serving import Conversation
from openami.cosem.client import Client, ClientParameters
from openami.dlms.association import State
from openami.dlms.sap import ALL_STATION, PUBLIC_CLIENT
from openami.transport.coapwire import CoapSettings
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, server_tls
from openami.transport.url import Url
from playbooks.demo_meter import CLIENT_TITLE, KEYS, PASSWORD, READER, DemoMeter
from transport.gateway import Gateway
from transport.parties import METER, Pki

ENERGY = "1.0.1.8.0.255"
CLOCK = "0.0.1.0.0.255"
LLS = ["--client", "32", "--secret", PASSWORD.decode()]
GMAC = [
    *("--guek", KEYS.encryption_key.hex()),
    *("--gak", KEYS.authentication_key.hex()),
    *("--title", CLIENT_TITLE.hex()),
]
TOOL = bytes.fromhex("4F414DF000000001")


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def served(pki: Pki, scheme: str, coap: CoapSettings | None = None) -> ServedMeter:
    identity = pki.identity(METER, Role.METER)
    secured = Secured(server_tls(identity), Expected(roles=frozenset({Role.CLIENT})))
    url = Url(scheme, "127.0.0.1", 0)  # type: ignore[arg-type]
    return ServedMeter(url, secured, coap=coap or CoapSettings())


def files(identity: TlsIdentity) -> list[str]:
    names = ("--ca", identity.ca), ("--cert", identity.certificate), ("--key", identity.key)
    return [word for name, path in names for word in (name, str(path))]


@pytest.mark.parametrize("scheme", ["udp", "dtls", "coap", "coaps"])
@pytest.mark.parametrize("security", [[], LLS, GMAC], ids=["none", "lls", "gmac"])
def test_a_meter_behind_each_bearer(pki: Pki, run: Run, scheme: str, security: list[str]) -> None:
    wanted = ENERGY if security else CLOCK
    secured = files(pki.identity(TOOL, Role.CLIENT)) if scheme in {"dtls", "coaps"} else []
    with served(pki, scheme) as meter:
        outcome = run(str(meter.url), wanted, *security, *secured)

    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith(wanted)


def test_bare_apdus_in_small_blocks_on_another_path(pki: Pki, run: Run) -> None:
    settings = CoapSettings(path="/dlms", bare=True, client_sap=READER)
    with served(pki, "coap", settings) as meter:
        url = f"coap://127.0.0.1:{meter.url.port}/dlms"
        options = "--coap-payload", "apdu", "--coap-block", "32", "--coap-confirm", "no"
        outcome = run(url, ENERGY, *LLS, *options)
        wrong = run(f"coap://127.0.0.1:{meter.url.port}", ENERGY, *LLS, *options)

    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith(ENERGY)
    assert wrong.status == 1
    assert "the peer answers 4.04 not found" in wrong.sentence


@pytest.mark.parametrize("scheme", ["dtls", "coaps"])
def test_the_wrong_meter_behind_dtls(pki: Pki, run: Run, scheme: str) -> None:
    secured = files(pki.identity(TOOL, Role.CLIENT))
    with served(pki, scheme) as meter:
        none = run(str(meter.url), CLOCK)
        wrong = run(str(meter.url), CLOCK, *secured, "--peer-title", "4F414D0000000002")

    assert none.status == 2
    assert "--ca, --cert and --key" in none.sentence
    assert wrong.status == 1
    assert "it belongs to 4F414D0000000001 (CN) where 4F414D0000000002" in wrong.sentence


def test_a_meter_behind_a_gateway(run: Run) -> None:
    with ServedMeter(Url("tcp", "127.0.0.1", 0), accept=Gateway) as gateway:
        url = str(gateway.url)
        outcome = run(url, ENERGY, *LLS, "--gateway", "3/4F414D0000000001")
        other = run(url, ENERGY, *LLS, "--gateway", "3/00")

    assert outcome.status == 0, outcome.err
    assert outcome.out.startswith(ENERGY)
    assert other.status == 1


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("--gateway", "4F414D0000000001", "must be NETWORK/ADDRESS"),
        ("--gateway", "256/01", "must be NETWORK/ADDRESS"),
        ("--gateway", "0/", "must be NETWORK/ADDRESS"),
        ("--gateway", "0/xyz", "must be NETWORK/ADDRESS"),
        ("--coap-payload", "wrapper", "must be one of frame, apdu"),
        ("--coap-block", "100", "must be one of 16, 32, 64, 128, 256, 512, 1024 octets"),
        ("--coap-confirm", "perhaps", "must be yes or no"),
    ],
)
def test_what_is_asked_wrongly(run: Run, option: str, value: str, problem: str) -> None:
    outcome = run("tcp://127.0.0.1:1", CLOCK, option, value)

    assert outcome.status == 2
    assert f"{option} {value!r} {problem}" in outcome.sentence


def test_the_file_may_say_it_too(tmp_path: Path, run: Run) -> None:
    config = tmp_path / "meter.toml"
    config.write_text('gateway = "3/4F414D0000000001"\ncoap-block = 64\n', encoding="utf-8")
    with ServedMeter(Url("coap", "127.0.0.1", 0), accept=Gateway) as gateway:
        outcome = run(str(gateway.url), ENERGY, *LLS, "--config", str(config))

    assert outcome.status == 0, outcome.err
    assert "gateway" in PARSERS


def test_the_reference_meter_on_every_bearer(pki: Pki, openami: Run) -> None:
    schemes = ("tls", "udp", "dtls", "coap", "coaps")
    listen = [word for each in schemes for word in ("--listen", f"{each}://127.0.0.1:0")]
    own = files(pki.identity(METER, Role.METER))
    tool = files(pki.identity(TOOL, Role.CLIENT))
    with Listening("simulate", *listen, *own, expect=len(schemes)) as meter:
        for url in meter.urls:
            outcome = openami("read", url, CLOCK, *tool)
            assert outcome.status == 0, outcome.err
            assert outcome.out.startswith(CLOCK)


def test_a_device_does_what_everybody_is_told_and_answers_only_for_itself() -> None:
    sent: list[int] = []

    class Wire:
        def send(self, source: int, _destination: int, _apdu: bytes) -> None:
            sent.append(source)

    conversation = Conversation(Wire(), DemoMeter())
    aarq = next(Client(ClientParameters(client_sap=PUBLIC_CLIENT), entropy=bytes).associate())
    conversation.frame(PUBLIC_CLIENT, ALL_STATION, aarq)
    assert conversation._server.state(PUBLIC_CLIENT) is State.ASSOCIATED
    assert sent == []
    conversation.frame(PUBLIC_CLIENT, 99, aarq)
    assert sent == []
    conversation.frame(PUBLIC_CLIENT, 1, aarq)
    assert sent == [1]
