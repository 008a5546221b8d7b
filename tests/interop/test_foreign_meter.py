# SPDX-License-Identifier: Apache-2.0
"""Our client reads a meter that a foreign implementation serves."""

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from interop.meters import PEER_PYTHON, PEERS
from openami.cosem.asking.base_names import BaseNames
from openami.cosem.classes.measurement import Data, Register
from openami.cosem.classes.time_event import Clock
from openami.cosem.client import Client, ClientParameters
from openami.cosem.refusals import AccessError, AssociationError
from openami.dlms.association import State
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.transport.endpoint import dial
from openami.transport.session import SessionHandler
from openami.transport.url import Url
from openami.transport.wire import Wire
from playbooks.demo_meter import CLOCK, ENERGY, LDN, START

pytestmark = pytest.mark.interop

NAME = "GRX0000000000001"


@contextmanager
def foreign_meter(**ask: Any) -> Iterator[Url]:
    """Run a foreign server for one connection."""
    assert PEER_PYTHON.exists(), "the foreign implementations are missing: run `make setup-peers`"
    asked = {"pdu_octets": 1024, "name": NAME, "energy": str(ENERGY), "time": START.isoformat()}
    command = [PEER_PYTHON, PEERS / "gurux_serves.py", json.dumps(asked | ask)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Url("tcp", "127.0.0.1", int(process.stdout.readline()))
        finally:
            process.kill()


async def read(url: Url, parameters: ClientParameters) -> dict[str, Any]:
    """Associate, read what the foreign server has, release."""
    handlers: list[SessionHandler] = []

    def accept(wire: Wire) -> SessionHandler:
        handlers.append(SessionHandler(wire, parameters.client_sap, parameters.server_sap))
        return handlers[0]

    wire = await dial(url, accept)
    session, client = handlers[0].session, Client(parameters, entropy=os.urandom)
    try:
        await session.run(client.associate())
        found: dict[str, Any] = {
            "name": await session.run(client.get(Data.value, at=LDN)),
            "energy": await session.run(client.get(Register.value, at=ENERGY)),
            "scaler_unit": await session.run(client.get(Register.scaler_unit, at=ENERGY)),
            "time": (await session.run(client.get(Clock.time, at=CLOCK))).to_utc(),
        }
        with pytest.raises(AccessError):
            await session.run(client.get(Register.value, at=Obis(1, 0, 99, 8, 0, 255)))
        await session.run(client.release())
        assert client.state is State.IDLE
    finally:
        wire.close()
        await wire.gone()
    return found


@pytest.mark.parametrize(
    ("mechanism", "parameters"),
    [
        ("none", ClientParameters(client_sap=16)),
        ("lls", ClientParameters(client_sap=32, mechanism=Mechanism.LLS, secret=b"12345678")),
    ],
)
def test_our_client_reads_a_foreign_meter(mechanism: str, parameters: ClientParameters) -> None:
    ask = {"mechanism": mechanism, "client_sap": parameters.client_sap, "password": "12345678"}
    with foreign_meter(**ask) as url:
        found = asyncio.run(read(url, parameters))
    assert found == {
        "name": NAME.encode(),
        "energy": 123_456,
        "scaler_unit": (0, 30),
        "time": START,
    }


@pytest.mark.parametrize(
    ("mechanism", "parameters"),
    [
        ("none", ClientParameters(client_sap=16)),
        ("lls", ClientParameters(client_sap=32, mechanism=Mechanism.LLS, secret=b"12345678")),
    ],
)
def test_our_client_reads_a_foreign_meter_by_short_name(
    mechanism: str, parameters: ClientParameters
) -> None:
    names = BaseNames()
    ask = {"mechanism": mechanism, "client_sap": parameters.client_sap, "password": "12345678"}
    with foreign_meter(**ask, short_names=True) as url:
        found = asyncio.run(read(url, replace(parameters, short_names=names)))
    assert found == {
        "name": NAME.encode(),
        "energy": 123_456,
        "scaler_unit": (0, 30),
        "time": START,
    }
    assert names.is_complete
    assert names.attribute(1, LDN, 2) == 0xFD08


def test_a_foreign_meter_refuses_a_wrong_password() -> None:
    parameters = ClientParameters(client_sap=32, mechanism=Mechanism.LLS, secret=b"wrong")
    with (
        foreign_meter(mechanism="lls", client_sap=32, password="12345678") as url,
        pytest.raises(AssociationError, match="check the password"),
    ):
        asyncio.run(read(url, parameters))
