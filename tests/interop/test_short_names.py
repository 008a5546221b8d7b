# SPDX-License-Identifier: Apache-2.0
"""gurux-dlms reads our meter by short name: over the wrapper and over HDLC, with each security."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from interop.meters import PeerFailedError, listening, peer, running
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION
from openami.cosem.classes.disconnect import ControlState
from openami.dlms.hdlc.address import Station
from openami.dlms.hls import Mechanism
from openami.transport.hdlc import HdlcSettings
from openami.transport.hdlcpoint import HdlcListener, listen_hdlc
from openami.transport.url import Url
from playbooks.demo_meter import (
    CLIENT_TITLE,
    DISCONNECT,
    ENERGY,
    KEYS,
    LOAD_PROFILE,
    MANAGER,
    NAME,
    NOTE,
    PASSWORD,
    PERIOD,
    READER,
    START,
)
from playbooks.named_meter import MIRROR, OPEN, NamedMeter
from transport.hdlcmeter import Lines

pytestmark = pytest.mark.interop

SCRIPT = "gurux_short_names.py"
SECURITY: dict[str, dict[str, Any]] = {
    "none": {"client_sap": OPEN},
    "lls": {"client_sap": READER, "password": PASSWORD.decode()},
    "md5": {"client_sap": READER, "password": PASSWORD.decode()},
    "gmac": {
        "client_sap": MANAGER,
        "guek": KEYS.encryption_key.hex(),
        "gak": KEYS.authentication_key.hex(),
        "counter": 1,
    },
}
WRITERS = ("none", "gmac")


def named_meter(mechanism: str, **naming: Any) -> NamedMeter:
    meter = NamedMeter(rows=200, **naming)
    if mechanism == "md5":
        meter.change(READER, mechanism=Mechanism.HLS_MD5)
    return meter


@contextmanager
def hdlc_port(meter: NamedMeter) -> Iterator[int]:
    lines = Lines(meter)

    async def open_port() -> HdlcListener:
        url = Url("hdlc+tcp", "127.0.0.1", 0)
        return await listen_hdlc(url, lines.accept, Station.of([1]), settings=HdlcSettings())

    with running(open_port) as port:
        yield port


@contextmanager
def tcp_port(meter: NamedMeter) -> Iterator[int]:
    with listening(meter) as served:
        yield served.port


PORTS = {"wrapper": tcp_port, "hdlc": hdlc_port}


def ask(port: int, mechanism: str, **changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "port": port,
        "mechanism": mechanism,
        "client_title": CLIENT_TITLE.hex(),
        "energy": str(ENERGY),
        "profile": str(LOAD_PROFILE),
        "from": (START + 10 * PERIOD).isoformat(),
        "to": (START + 57 * PERIOD).isoformat(),
    }
    if mechanism in WRITERS:
        told |= {"disconnect": str(DISCONNECT), "note": str(NOTE), "write": "from afar"}
    return peer(SCRIPT, **(told | SECURITY[mechanism] | changes))


def row(index: int) -> list[object]:
    return [(START + index * PERIOD).isoformat(), 0, 1000 + index]


def check(found: dict[str, Any], meter: NamedMeter, mechanism: str) -> None:
    assert bytes.fromhex(found["name"]) == NAME
    assert found["energy"] == 123_456
    assert found["unit"] == 30
    assert found["clock"] == START.isoformat()
    assert found["by_range"] == [row(index) for index in range(10, 58)]
    assert found["by_entry"] == [row(2), row(3)]
    assert found["all"] == 200
    names = {str(thing.values[1]): meter.names.base_name(thing.values[1]) for thing in meter}
    assert found["objects"] == names | {str(CURRENT_ASSOCIATION): 0xFA00}
    assert str(MIRROR) in found["objects"]
    if mechanism in WRITERS:
        assert found["supplied"] is False
        assert meter.switch.moves == [ControlState.DISCONNECTED]
        assert found["note"] == "from afar"


@pytest.mark.parametrize("mechanism", SECURITY)
@pytest.mark.parametrize("bearer", PORTS)
def test_gurux_reads_our_meter_by_short_name(bearer: str, mechanism: str) -> None:
    meter = named_meter(mechanism)
    with PORTS[bearer](meter) as port:
        found = ask(port, mechanism, hdlc=bearer == "hdlc")
    check(found, meter, mechanism)


@pytest.mark.parametrize("mechanism", SECURITY)
@pytest.mark.parametrize("pdu_octets", [200, 500])
def test_gurux_reads_blocks_of_values(pdu_octets: int, mechanism: str) -> None:
    """Its joined blocks are a value, not the list of one result: `value_blocks`."""
    meter = named_meter(mechanism, value_blocks=True)
    with tcp_port(meter) as port:
        found = ask(port, mechanism, pdu_octets=pdu_octets, blocks=True)
    check(found, meter, mechanism)


@pytest.mark.parametrize(
    ("mechanism", "changes"),
    [
        ("lls", {"password": "wrong"}),
        ("md5", {"password": "wrong"}),
        ("gmac", {"guek": "00" * 16}),
        ("gmac", {"gak": "00" * 16}),
    ],
)
def test_gurux_with_a_wrong_secret_is_refused(mechanism: str, changes: dict[str, Any]) -> None:
    meter = named_meter(mechanism)
    with listening(meter) as served:
        with pytest.raises(PeerFailedError):
            ask(served.port, mechanism, **changes)
        assert served.associated == set()
