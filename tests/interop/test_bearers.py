# SPDX-License-Identifier: Apache-2.0
"""gurux-dlms reads our meter over UDP, and one behind a gateway."""

from typing import Any

import pytest

from interop.meters import Handler, open_meter, peer, running
from interop.test_hdlc import SECURITY
from openami.cosem.server import ServerConnection
from openami.dlms.hdlc.address import Station
from openami.transport.endpoint import listen
from openami.transport.hdlcpoint import listen_hdlc
from openami.transport.udp import listen_udp
from openami.transport.url import Url
from playbooks.demo_meter import (
    CLIENT_TITLE,
    ENERGY,
    LOAD_PROFILE,
    NAME,
    PERIOD,
    START,
    entropy,
)
from transport.gateway import ADDRESS, Gateway

pytestmark = pytest.mark.interop


def asked(mechanism: str, **more: Any) -> dict[str, Any]:
    found = {
        "mechanism": mechanism,
        "pdu_octets": 1000,
        "client_title": CLIENT_TITLE.hex(),
        "energy": str(ENERGY),
        "profile": str(LOAD_PROFILE),
        "from": (START + 10 * PERIOD).isoformat(),
        "to": (START + 57 * PERIOD).isoformat(),
    }
    return found | SECURITY[mechanism] | more


@pytest.mark.parametrize("mechanism", SECURITY)
def test_gurux_reads_our_meter_over_udp(mechanism: str) -> None:
    meter = open_meter()
    associated: set[int] = set()

    async def open_port() -> Any:
        return await listen_udp(
            Url("udp", "127.0.0.1", 0),
            lambda wire: Handler(wire, meter, associated, set()),  # type: ignore[arg-type]
        )

    with running(open_port) as port:
        found = peer("gurux_reads.py", **asked(mechanism, port=port, udp=True))

    assert bytes.fromhex(found["name"]) == NAME
    assert found["energy"] == 123_456
    assert found["all"] == 500
    assert associated


@pytest.mark.parametrize("mechanism", ["none", "lls"])
@pytest.mark.parametrize("hdlc", [False, True])
def test_gurux_reads_a_meter_behind_a_gateway(mechanism: str, *, hdlc: bool) -> None:
    async def open_port() -> Any:
        if hdlc:
            return await listen_hdlc(Url("hdlc+tcp", "127.0.0.1", 0), accept, Station.of([1], 17))  # type: ignore[arg-type]
        return await listen(Url("tcp", "127.0.0.1", 0), accept)

    def accept(wire: Any) -> Gateway:
        return Gateway(wire, ServerConnection(open_meter(), entropy=entropy()))

    more: dict[str, Any] = {"gateway": {"network": 3, "address": ADDRESS.hex()}}
    if hdlc:
        more["hdlc"] = {"physical": 17, "size": 2, "window": 3, "max_info": 512}
    with running(open_port) as port:
        found = peer("gurux_reads.py", **asked(mechanism, port=port, **more))

    assert bytes.fromhex(found["name"]) == NAME
    assert found["energy"] == 123_456
    assert found["all"] == 500
