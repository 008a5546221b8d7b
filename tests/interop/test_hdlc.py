# SPDX-License-Identifier: Apache-2.0
"""Foreign clients read our meter over HDLC: every mechanism, windows, sizes of addresses."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from interop.meters import OPEN, PeerFailedError, open_meter, peer, running
from openami.dlms.hdlc.address import Station
from openami.dlms.hdlc.parameters import LinkParameters
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
    PASSWORD,
    PERIOD,
    READER,
    START,
    DemoMeter,
)
from transport.hdlcmeter import Lines

pytestmark = pytest.mark.interop

SECURITY: dict[str, dict[str, Any]] = {
    "none": {"client_sap": OPEN},
    "lls": {"client_sap": READER, "password": PASSWORD.decode()},
    "gmac": {
        "client_sap": MANAGER,
        "guek": KEYS.encryption_key.hex(),
        "gak": KEYS.authentication_key.hex(),
        "counter": 1,
    },
}


@contextmanager
def served(
    meter: DemoMeter, station: Station, settings: HdlcSettings
) -> Iterator[tuple[int, Lines]]:
    lines = Lines(meter)

    async def open_port() -> HdlcListener:
        url = Url("hdlc+tcp", "127.0.0.1", 0)
        return await listen_hdlc(url, lines.accept, station, settings=settings)

    with running(open_port) as port:
        yield port, lines


@pytest.mark.parametrize("mechanism", SECURITY)
@pytest.mark.parametrize(
    ("size", "physical", "window", "max_info"),
    [(1, 0, 1, 128), (2, 17, 3, 128), (4, 17, 3, 512), (4, 4000, 7, 2030)],
)
def test_gurux_reads_our_meter(
    mechanism: str, size: int, physical: int, window: int, max_info: int
) -> None:
    meter = open_meter()
    settings = HdlcSettings(parameters=LinkParameters.symmetric(max_info, window))
    with served(meter, Station.of([1], physical, size), settings) as (port, lines):
        found = peer(
            "gurux_reads.py",
            port=port,
            mechanism=mechanism,
            pdu_octets=65535,
            client_title=CLIENT_TITLE.hex(),
            hdlc={"physical": physical, "size": size, "window": window, "max_info": max_info},
            energy=str(ENERGY),
            profile=str(LOAD_PROFILE),
            disconnect=str(DISCONNECT) if mechanism == "gmac" else None,
            **{"from": (START + 10 * PERIOD).isoformat(), "to": (START + 57 * PERIOD).isoformat()},
            **SECURITY[mechanism],
        )

    assert bytes.fromhex(found["name"]) == NAME
    assert found["energy"] == 123_456
    assert found["clock"] == START.isoformat()
    assert found["by_range"] == [
        [(START + index * PERIOD).isoformat(), 0, 1000 + index] for index in range(10, 58)
    ]
    assert found["all"] == 500
    (line,) = lines.serving
    assert line.gone == [SECURITY[mechanism]["client_sap"]], "the client has left its link"
    assert line.wire.settled == settings.parameters
    assert line.wire.dropped == 0


def test_gurux_reads_our_meter_under_a_dedicated_key_in_windows_of_three() -> None:
    """dlms-cosem names dedicated keys among its options and does nothing with them (25.1.0)."""
    meter = open_meter()
    settings = HdlcSettings(parameters=LinkParameters.symmetric(128, 3))
    with served(meter, Station.of([1], 17, 2), settings) as (port, lines):
        found = peer(
            "gurux_reads.py",
            port=port,
            mechanism="gmac",
            pdu_octets=65535,
            client_title=CLIENT_TITLE.hex(),
            hdlc={"physical": 17, "size": 2, "window": 3, "max_info": 128},
            energy=str(ENERGY),
            profile=str(LOAD_PROFILE),
            dedicated_key=bytes(range(0x30, 0x40)).hex(),
            **{"from": (START + 10 * PERIOD).isoformat(), "to": (START + 57 * PERIOD).isoformat()},
            **SECURITY["gmac"],
        )

    assert found["energy"] == 123_456
    assert found["all"] == 500
    (line,) = lines.serving
    assert 0xDC in line.tags, "general-ded-ciphering"
    assert line.tags.isdisjoint({0xC0, 0xC8, 0xDB})
    assert line.wire.settled == settings.parameters
    assert line.wire.dropped == 0


@pytest.mark.parametrize("mechanism", SECURITY)
@pytest.mark.parametrize(("size", "physical"), [(1, 0), (2, 17), (4, 17)])
def test_dlms_cosem_reads_our_meter(mechanism: str, size: int, physical: int) -> None:
    # It proposes nothing in SNRM, so the link has the default window and information field.
    meter = open_meter(rows=60)
    with served(meter, Station.of([1], physical, size), HdlcSettings()) as (port, lines):
        found = peer(
            "dlms_cosem_reads.py",
            port=port,
            mechanism=mechanism,
            client_title=CLIENT_TITLE.hex(),
            hdlc={"physical": physical, "size": size},
            energy=str(ENERGY),
            profile=str(LOAD_PROFILE),
            **{"from": (START + 10 * PERIOD).isoformat(), "to": (START + 19 * PERIOD).isoformat()},
            **SECURITY[mechanism],
        )

    assert bytes.fromhex(found["name"]) == NAME
    assert found["energy"] == 123_456
    assert found["by_range"] == [
        [(START + index * PERIOD).isoformat(), 0, 1000 + index] for index in range(10, 20)
    ]
    assert found["all"] == 60
    (line,) = lines.serving
    assert line.wire.dropped == 0


def test_gurux_with_a_wrong_password_is_refused() -> None:
    station = Station.of([1])
    with (
        served(open_meter(rows=0), station, HdlcSettings()) as (port, _),
        pytest.raises(PeerFailedError),
    ):
        peer(
            "gurux_reads.py",
            port=port,
            mechanism="lls",
            hdlc={"physical": 0, "size": 1, "window": 1, "max_info": 128},
            client_title=CLIENT_TITLE.hex(),
            **(SECURITY["lls"] | {"password": "wrong"}),
        )
