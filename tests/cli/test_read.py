# SPDX-License-Identifier: Apache-2.0
"""`openami read` against a meter behind a real port: what it prints, and how it refuses."""

import csv
import io
import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.runs import Run
from cli.served_meter import ServedMeter
from openami.cli.read import read
from openami.lifecycle.authority import Authority
from openami.lifecycle.keys import MeterKeys
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, server_tls
from openami.transport.url import Url
from playbooks.demo_meter import CLIENT_TITLE, KEYS, METER_TITLE, PASSWORD, START, DemoMeter
from transport.parties import Pki

PLAIN = Url("tcp", "127.0.0.1", 0)
ENERGY = "1.0.1.8.0.255"
CLOCK = "0.0.1.0.0.255"
PROFILE = "1.0.99.1.0.255"
GUEK, GAK = KEYS.encryption_key.hex(), KEYS.authentication_key.hex()
LLS = ["--client", "32", "--secret", PASSWORD.decode()]
GMAC = ["--guek", GUEK, "--gak", GAK, "--title", CLIENT_TITLE.hex()]


@pytest.fixture(scope="module")
def served() -> Iterator[ServedMeter]:
    with ServedMeter(PLAIN) as meter:
        yield meter


def test_the_public_client_reads_clock_and_name(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, CLOCK, "0.0.42.0.0.255")
    assert outcome.status == 0, outcome.err
    assert outcome.out == (
        "0.0.1.0.0.255  2013-03-01T00:30:00Z\n0.0.42.0.0.255  OAM0000000000007\n"
    )


@pytest.mark.parametrize("who", [LLS, ["--mechanism", "lls", "--secret", "0x" + PASSWORD.hex()]])
def test_the_reader_reads_a_register_with_its_unit(
    who: list[str], served: ServedMeter, run: Run
) -> None:
    outcome = run(served.url, *who, ENERGY)
    assert outcome.status == 0, outcome.err
    assert outcome.out == "1.0.1.8.0.255  123456 Wh\n"


def test_keys_make_the_management_client(served: ServedMeter, run: Run) -> None:
    for _ in range(2):  # the second run learns the counter that the meter expects
        outcome = run(served.url, *GMAC, ENERGY, "1-0:1.8.0*255:3", "0.0.42.0.0.255:1")
        assert outcome.status == 0, outcome.err
        assert outcome.out.splitlines() == [
            "1.0.1.8.0.255  123456 Wh",
            "1.0.1.8.0.255:scaler_unit  10^0 Wh",
            "0.0.42.0.0.255  0.0.42.0.0.255",
        ]


def test_a_given_counter_is_used(run: Run) -> None:
    with ServedMeter(PLAIN) as fresh:
        assert run(fresh.url, *GMAC, "--counter", "0x1000", ENERGY).status == 0
        assert fresh.meter.ciphering.window.expected > 0x1000


def test_keys_json_is_enough(served: ServedMeter, run: Run, tmp_path: Path) -> None:
    keys = MeterKeys(
        epoch=1,
        guek=KEYS.encryption_key,
        gak=KEYS.authentication_key,
        kek=bytes(16),
        lls=PASSWORD.ljust(16, b"\0"),
    )
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(keys.to_json(METER_TITLE)))
    outcome = run(served.url, "--keys", path, "--client", 1, ENERGY)
    assert outcome.status == 0, outcome.err
    outcome = run(served.url, "--keys", path, "--client", 16, CLOCK)
    assert outcome.status == 0, outcome.err


def test_a_file_says_what_the_command_line_does_not(
    served: ServedMeter, run: Run, tmp_path: Path
) -> None:
    config = tmp_path / "reader.toml"
    config.write_text(f'client = 32\nsecret = "{PASSWORD.decode()}"\ntimeout = 5\n')
    assert run(served.url, "--config", config, ENERGY).out == "1.0.1.8.0.255  123456 Wh\n"
    outcome = run(served.url, "--config", config, "--secret", "wrong", ENERGY)
    assert outcome.status == 1
    assert "check the password" in outcome.sentence


def test_json_is_for_programs(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *LLS, "--json", ENERGY, CLOCK)
    assert json.loads(outcome.out) == [
        {"obis": ENERGY, "class_id": 3, "attribute": 2, "value": 123456, "unit": "Wh"},
        {
            "obis": CLOCK,
            "class_id": 8,
            "attribute": 2,
            "value": "2013-03-01T00:30:00Z",
            "unit": "",
        },
    ]


def test_a_profile_is_a_table(served: ServedMeter, run: Run) -> None:
    outcome = run(
        served.url, *LLS, PROFILE, "--from", "2013-03-01T01:00", "--to", "2013-03-01T12:30+10:00"
    )
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines() == [
        "                time  0.0.96.10.1.255  1.0.1.8.0.255 [Wh]",
        "2013-03-01T01:00:00Z                0                1001",
        "2013-03-01T01:30:00Z                0                1002",
        "2013-03-01T02:00:00Z                0                1003",
        "2013-03-01T02:30:00Z                0                1004",
        "4 rows",
    ]


def test_a_profile_as_csv_and_json(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *LLS, PROFILE, "--csv")
    rows = list(csv.reader(io.StringIO(outcome.out)))
    assert rows[0] == ["time", "0.0.96.10.1.255", "1.0.1.8.0.255 [Wh]"]
    assert len(rows) == 101
    end = START + 99 * timedelta(minutes=30)
    assert rows[-1] == [end.isoformat().replace("+00:00", "Z"), "0", "1099"]

    (table,) = json.loads(run(served.url, *LLS, PROFILE, "--json", "--from", "2013-03-03").out)
    assert table["columns"] == rows[0]
    assert table["rows"][-1] == [rows[-1][0], 0, 1099]


def test_a_range_without_rows_is_an_empty_table(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *LLS, PROFILE, "--from", "2020-01-01")
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[-1] == "0 rows"


def test_the_object_list_is_a_table(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, "0.0.40.0.0.255")
    assert outcome.status == 0, outcome.err
    assert [line.split(maxsplit=3) for line in outcome.out.splitlines()] == [
        ["object", "class", "version", "name"],
        ["0.0.1.0.0.255", "8", "0", "clock"],
        ["0.0.40.0.0.255", "15", "1", "current association"],
        ["0.0.41.0.0.255", "17", "0", "SAP assignment"],
        ["0.0.42.0.0.255", "1", "0", "logical device name"],
        ["4", "rows"],
    ]


def test_what_was_read_is_printed_beside_what_was_refused(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *LLS, ENERGY, "1.0.9.9.9.255", CLOCK)
    assert outcome.status == 1
    assert len(outcome.out.splitlines()) == 2
    assert "1.0.9.9.9.255 is not among the 8 objects that client 32 can see" in outcome.sentence
    assert "read 0.0.40.0.0.255 to list them" in outcome.sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([ENERGY], "is not among the 4 objects that client 16 can see"),
        (["--class", 3, ENERGY], "the meter refuses to read attribute 2 of 1.0.1.8.0.255"),
        ([*LLS, "--class", 3, "1.0.9.9.9.255"], "object-undefined"),
        ([*LLS, "--class", 1, ENERGY], "object-class-inconsistent"),
        ([*LLS, f"{ENERGY}:99"], "the meter refuses to read attribute 99"),
        (
            ["--client", 32, "--secret", "87654321", ENERGY],
            "authentication-failure; check the password or secret",
        ),
        (["--client", 32, "--mechanism", "none", ENERGY], "must authenticate"),
        (["--client", 99, ENERGY], "no-reason-given; check that the meter knows this client SAP"),
        ([*GMAC[:2], *["--gak", "00" * 16], *GMAC[4:], "--counter", "0x2000", ENERGY], "keys"),
        (["--guek", "00" * 16, *GMAC[2:], "--counter", "0x3000", ENERGY], "keys"),
    ],
)
def test_what_a_meter_refuses_is_one_sentence(
    arguments: list[object], sentence: str, served: ServedMeter, run: Run
) -> None:
    outcome = run(served.url, *arguments)
    assert outcome.status == 1
    assert outcome.out == ""
    assert sentence in outcome.sentence
    assert str(served.url) in outcome.sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["127.0.0.1:1", CLOCK], "'127.0.0.1:1' is not an address"),
        (["tcp://127.0.0.1:1", "1.8.0"], "'1.8.0' is no OBIS code"),
        (["tcp://127.0.0.1:1", "1-0:1.8.0"], "missing, mostly 255: write 1.0.1.8.0.255"),
        (["tcp://127.0.0.1:1", "--guek", "12", CLOCK], "--guek must be 32 hex digits"),
        (["tcp://127.0.0.1:1", "--title", "OAM", CLOCK], "--title 'OAM' must be 16 hex digits"),
        (["tcp://127.0.0.1:1", "--client", "x", CLOCK], "--client 'x' must be a whole number"),
        (["tcp://127.0.0.1:1", "--client", "70000", CLOCK], "must be 0 to 65535"),
        (["tcp://127.0.0.1:1", "--mechanism", "rsa", CLOCK], "must be one of none, lls, hls, gmac"),
        (["tcp://127.0.0.1:1", "--mechanism", "lls", CLOCK], "a password is needed"),
        (["tcp://127.0.0.1:1", "--mechanism", "gmac", CLOCK], "keys is needed"),
        (
            ["tcp://127.0.0.1:1", "--timeout", "0", CLOCK],
            "--timeout '0' must be a number of seconds, more than 0",
        ),
        (["tcp://127.0.0.1:1", "--from", "noon", CLOCK], "--from 'noon' is no time"),
        (["tls://127.0.0.1:1", CLOCK], "--ca, --cert and --key"),
        (["tcp://127.0.0.1:1", "--keys", "/no/keys.json", CLOCK], "/no/keys.json cannot be read"),
        (["tcp://127.0.0.1:1", "--config", "/no.toml", CLOCK], "/no.toml cannot be read"),
    ],
)
def test_what_is_asked_wrongly_exits_with_2(
    arguments: list[object], sentence: str, run: Run
) -> None:
    outcome = run(*arguments)
    assert outcome.status == 2
    assert sentence in outcome.sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("colour = 1", "colour in {path} is no option of the meter tools"),
        ("client = [1]", "client in {path} must be text or a number"),
        ("guek = 'zz'", "guek in {path} must be 32 hex digits"),
        ("client = ", "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_named(text: str, sentence: str, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "reader.toml"
    path.write_text(text)
    outcome = run("tcp://127.0.0.1:1", "--config", path, CLOCK)
    assert outcome.status == 2
    assert sentence.format(path=path) in outcome.sentence


def test_secrets_stay_out_of_refusals(run: Run) -> None:
    outcome = run("tcp://127.0.0.1:1", "--guek", "5EC2E7", CLOCK)
    assert "5EC2E7" not in outcome.err


def test_nobody_there(run: Run) -> None:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port = line.getsockname()[1]
    outcome = run(f"tcp://127.0.0.1:{port}", CLOCK)
    assert outcome.status == 1
    assert "refused the connection: nothing listens there" in outcome.sentence


class Stranger:
    """A port that answers every connection with the same octets, and then waits or closes."""

    def __init__(self, answer: bytes, *, closes: bool) -> None:
        self._answer = answer
        self._closes = closes

    def __enter__(self) -> str:
        self._line = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return f"tcp://127.0.0.1:{self._line.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._line.close()

    def _serve(self) -> None:
        connection, _ = self._line.accept()
        with connection:
            connection.settimeout(10)
            connection.recv(1000)
            connection.sendall(self._answer)
            if not self._closes:
                connection.recv(1000)


@pytest.mark.parametrize(
    ("answer", "closes", "sentence"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "this is no DLMS/COSEM"),
        (b"", True, "the peer closed the connection"),
        (bytes.fromhex("0001 0001 0010 0029 6129a109"), True, "in the middle of a frame"),
        (bytes.fromhex("0001 0001 0010 0004 6129a109"), False, "at octet"),
        (bytes.fromhex("0001 0001 0010 0002 c401"), False, "tag C4, not 61"),
    ],
)
def test_something_else_answers(answer: bytes, closes: bool, sentence: str, run: Run) -> None:  # noqa: FBT001
    with Stranger(answer, closes=closes) as url:
        outcome = run(url, CLOCK)
    assert outcome.status == 1
    assert sentence in outcome.sentence
    assert url.removeprefix("tcp://") in outcome.sentence


def test_a_silent_port_ends_in_time(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as line:
        outcome = run(f"tcp://127.0.0.1:{line.getsockname()[1]}", "--timeout", "0.2", CLOCK)
    assert outcome.status == 1
    assert "did not answer within 0.2 s" in outcome.sentence
    assert "--timeout" in outcome.sentence


@pytest.mark.parametrize(
    ("kept", "place"), [(1, "C4 is no response to it"), (4, "at octet"), (9, "at octet 2 of 5")]
)
def test_a_truncated_answer_is_told_by_place(kept: int, place: str, run: Run) -> None:
    def spoil(answer: bytes) -> bytes:
        return answer[:kept] if answer[:1] == b"\xc4" else answer

    with ServedMeter(PLAIN, spoil=spoil) as broken:
        outcome = run(broken.url, "--class", 8, CLOCK)
    assert outcome.status == 1
    assert place in outcome.sentence


def test_a_tampered_answer_is_not_believed(run: Run) -> None:
    def spoil(answer: bytes) -> bytes:
        return answer[:-1] + bytes([answer[-1] ^ 1]) if answer[:1] == b"\xcc" else answer

    with ServedMeter(PLAIN, spoil=spoil) as tampered:
        outcome = run(tampered.url, *GMAC, ENERGY)
    assert outcome.status == 1
    assert outcome.out == ""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def options(identity: TlsIdentity) -> list[str]:
    files = {"--ca": identity.ca, "--cert": identity.certificate, "--key": identity.key}
    return [str(part) for pair in files.items() for part in pair]


@pytest.fixture(scope="module")
def served_tls(pki: Pki) -> Iterator[ServedMeter]:
    settings = server_tls(pki.identity(METER_TITLE, Role.METER))
    expected = Expected(roles=frozenset({"client"}))
    with ServedMeter(Url("tls", "127.0.0.1", 0), secured=Secured(settings, expected)) as meter:
        yield meter


def test_it_reads_through_tls(served_tls: ServedMeter, pki: Pki, run: Run) -> None:
    who = pki.identity(CLIENT_TITLE, Role.CLIENT)
    outcome = run(
        served_tls.url, *options(who), "--guek", GUEK, "--gak", GAK,
        "--peer-title", METER_TITLE.hex(), ENERGY,
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert outcome.out == "1.0.1.8.0.255  123456 Wh\n"


def test_tls_refusals_are_one_sentence(
    served_tls: ServedMeter, pki: Pki, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    good = pki.identity(CLIENT_TITLE, Role.CLIENT)
    stranger = Authority.create(pki.folder / "stranger")
    foreign = pki.identity(CLIENT_TITLE, Role.CLIENT, by=stranger)
    wrong_role = pki.identity(CLIENT_TITLE, Role.HEAD_END)
    other = "4F414D0000000008"
    for who, more, sentence in (
        (foreign, [], "does not know the authority of our certificate"),
        (wrong_role, [], "does not accept us as head-end"),
        (good, ["--peer-title", other], f"where {other} is expected"),
    ):
        outcome = run(served_tls.url, *options(who), *more, CLOCK)
        assert outcome.status == 1
        assert sentence in outcome.sentence


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"", "during the TLS handshake; check that a TLS listener is behind this address"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak TLS there; use tcp://"),
    ],
)
def test_who_does_not_speak_tls_is_told_so(
    answer: bytes, sentence: str, pki: Pki, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    who = pki.identity(CLIENT_TITLE, Role.CLIENT)
    with Stranger(answer, closes=True) as url:
        outcome = run(url.replace("tcp:", "tls:"), *options(who), CLOCK)
    assert outcome.status == 1
    assert sentence in outcome.sentence


def test_a_certificate_file_that_is_none(pki: Pki, run: Run) -> None:
    who = pki.identity(CLIENT_TITLE, Role.CLIENT)
    who.certificate.write_bytes(b"")
    outcome = run("tls://127.0.0.1:1", *options(who), CLOCK)
    assert outcome.status == 2
    assert str(who.certificate) in outcome.sentence


def test_a_meter_without_rows(run: Run) -> None:
    with ServedMeter(PLAIN, meter=DemoMeter(rows=0)) as empty:
        outcome = run(empty.url, *LLS, PROFILE)
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[-1] == "0 rows"


def test_the_help_keeps_its_examples_apart() -> None:
    shown = CliRunner().invoke(read, ["--help"]).output
    assert "\n  openami read tcp://127.0.0.1:4059 0.0.1.0.0.255\n" in shown
    assert "\b" not in shown
    assert "\\b" not in shown


def test_all_attributes_of_an_object(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *LLS, f"{ENERGY}:all", "--names")
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines() == [
        "1.0.1.8.0.255  active energy import",
        "attribute  name          value",
        "        1  logical_name  1.0.1.8.0.255",
        "        2  value         123456 Wh",
        "        3  scaler_unit   10^0 Wh",
        "3 rows",
    ]
    outcome = run(served.url, f"{CLOCK}:all")
    assert "        2  time                        2013-03-01T00:30:00Z" in outcome.out
    assert "(object-unavailable)" in outcome.out


def test_an_object_is_named_in_words(served: ServedMeter, run: Run) -> None:
    outcome = run(served.url, *LLS, "--names", ENERGY, f"{ENERGY}:scaler_unit")
    assert outcome.out.splitlines() == [
        "1.0.1.8.0.255  123456 Wh  active energy import",
        "1.0.1.8.0.255:scaler_unit  10^0 Wh  active energy import",
    ]


def test_a_code_is_said_by_its_name(served: ServedMeter, run: Run) -> None:
    state = "0.0.96.3.10.255:control_state"
    assert run(served.url, *LLS, state).out == "0.0.96.3.10.255  connected\n"
    (said,) = json.loads(run(served.url, *LLS, state, "--json").out)
    assert (said["value"], said["words"]) == (1, "connected")
