# SPDX-License-Identifier: Apache-2.0
"""Recorded conversations of foreign implementations: our client says the same octets."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openami.cosem.classes.measurement import Data
from openami.cosem.classes.time_event import Clock
from openami.cosem.client import Client, ClientParameters, Steps
from openami.dlms import data as axdr_data
from openami.dlms.apdu.acse import Aarq
from openami.dlms.apdu.initiate import Conformance, InitiateRequest
from openami.dlms.association import State
from openami.dlms.errors import DecodeError
from openami.dlms.hls import Mechanism
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.keyset import KeySet
from playbooks.demo_meter import CLOCK, LDN

VECTORS = Path(__file__).parent.parent / "vectors" / "cosem" / "sessions.toml"
SESSIONS: dict[str, dict[str, Any]] = {
    session["name"]: session for session in tomllib.loads(VECTORS.read_text())["session"]
}
PROPOSED = Conformance(0x1E5D)  # beside the bits of general protection


def said(session: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Who said what, in order."""
    for line in session["apdus"]:
        who, octets = line.split()
        yield who, bytes.fromhex(octets)


def replay(steps: Steps[Any], conversation: Iterator[tuple[str, bytes]]) -> Any:
    """Let the recorded server answer; check that our request is the recorded one."""
    try:
        ours = next(steps)
        while True:
            who, theirs = next(conversation)
            assert who == "TX"
            assert ours.hex() == theirs.hex()
            who, answer = next(conversation)
            assert who == "RX"
            ours = steps.send(answer)
    except StopIteration as stop:
        return stop.value


def conformance_of(aarq: bytes, cipher: Cipher | None, title: bytes) -> Conformance:
    octets = Aarq.decode(aarq).user_information or b""
    if cipher is not None:
        octets = cipher.open(octets[2:], title)[2]
    return InitiateRequest.decode(octets).proposed_conformance


@pytest.mark.parametrize("name", ["session_w_none", "session_h_lls"])
def test_a_plain_session(name: str) -> None:
    session = SESSIONS[name]
    conversation = said(session)
    lls = name == "session_h_lls"
    first = next(said(session))[1]
    client = Client(
        ClientParameters(
            mechanism=Mechanism.LLS if lls else Mechanism.LOWEST,
            secret=session["password"].encode() if lls else b"",
            conformance=conformance_of(first, None, b""),
        ),
        entropy=bytes,
    )

    replay(client.associate(), conversation)
    assert client.state is State.ASSOCIATED
    assert client.context.conformance & Conformance.GET
    assert replay(client.get(Data.value, at=LDN), conversation) == b"GRX0000000123456"
    client._invoke_id = 0  # the recorded client begins anew with each request
    # This server's clock is followed by octets that belong to nothing: they are not passed over.
    octets = replay(client.get_raw(8, CLOCK, 2), conversation)
    assert Clock.time.kind.from_data(axdr_data.decode(octets[:14])).year == 2026
    with pytest.raises(DecodeError, match="octets after the end"):
        axdr_data.decode(octets)
    replay(client.release(), conversation)
    assert client.state is State.IDLE


def test_a_session_with_gmac_and_ciphering() -> None:
    session = SESSIONS["session_w_gmac"]
    title = bytes.fromhex(session["client_title"])
    cipher = Cipher(
        KeySet(
            encryption_key=bytes.fromhex(session["encryption_key"]),
            authentication_key=bytes.fromhex(session["authentication_key"]),
        )
    )
    first = next(said(session))[1]
    aarq = Aarq.decode(first)
    information = aarq.user_information or b""
    challenge = aarq.calling_authentication_value or b""
    conformance = conformance_of(first, cipher, title)
    client = Client(
        ClientParameters(
            client_sap=1,
            mechanism=Mechanism.HLS_GMAC,
            cipher=cipher,
            system_title=title,
            conformance=conformance,
            general=bool(conformance & Conformance.GENERAL_PROTECTION),
        ),
        entropy=lambda count: challenge[:count],
        counters=CounterBlock(int.from_bytes(information[3:7]), 2**32 - 1),
    )
    conversation = said(session)

    replay(client.associate(), conversation)
    assert client.context.server_title == bytes.fromhex(session["server_title"])
    assert replay(client.get(Data.value, at=LDN), conversation) == b"GRX0000000123456"
    who, request = next(conversation)
    assert (who, request[0]) == ("TX", 0xDB)
    assert client.channel is not None
    answer, _ = client.channel.unprotect(next(conversation)[1])
    assert answer[:4] == bytes.fromhex("c401c100")
