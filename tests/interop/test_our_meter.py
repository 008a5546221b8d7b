# SPDX-License-Identifier: Apache-2.0
"""Foreign clients read our meter: every mechanism, whole and in blocks, with the right values."""

from typing import Any

import pytest

from interop.meters import OPEN, PeerFailedError, listening, open_meter, peer
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION
from openami.cosem.classes.disconnect import ControlState
from openami.cosem.device import AssociationPolicy
from openami.cosem.rights import READ_ALL
from openami.dlms.hls import Mechanism
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
)

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
DEDICATED = SECURITY["gmac"] | {"dedicated_key": bytes(range(0x30, 0x40)).hex()}
PEERS = ("gurux_reads.py", "dlms_cosem_reads.py")


def expected_row(index: int) -> list[object]:
    return [(START + index * PERIOD).isoformat(), 0, 1000 + index]


@pytest.mark.parametrize("pdu_octets", [300, 65535])
@pytest.mark.parametrize("mechanism", SECURITY)
@pytest.mark.parametrize("script", PEERS)
def test_a_foreign_client_reads_our_meter(script: str, mechanism: str, pdu_octets: int) -> None:
    meter = open_meter()
    with listening(meter) as served:
        found = peer(
            script,
            port=served.port,
            mechanism=mechanism,
            pdu_octets=pdu_octets,
            client_title=CLIENT_TITLE.hex(),
            energy=str(ENERGY),
            profile=str(LOAD_PROFILE),
            disconnect=str(DISCONNECT) if mechanism == "gmac" else None,
            **{"from": (START + 10 * PERIOD).isoformat(), "to": (START + 57 * PERIOD).isoformat()},
            **SECURITY[mechanism],
        )

    assert bytes.fromhex(found["name"]) == NAME
    assert found["energy"] == 123_456
    assert found["unit"] == 30
    assert found["scaler"] in {0, 1}, "an exponent with one library, a factor with the other"
    assert found["clock"] == START.isoformat()
    assert found["columns"] == 3
    assert found["by_range"] == [expected_row(index) for index in range(10, 58)]
    assert found["all"] == 500
    names = {str(thing.values[1]) for thing in meter} | {str(CURRENT_ASSOCIATION)}
    assert set(found["objects"]) == names
    if "by_entry" in found:
        assert found["by_entry"] == [expected_row(2), expected_row(3)]
    if "supplied" in found:
        assert found["supplied"] is False
        assert meter.switch.moves == [ControlState.DISCONNECTED]


def test_gurux_reads_our_meter_under_a_dedicated_key() -> None:
    with listening(open_meter()) as served:
        found = peer(
            "gurux_reads.py",
            port=served.port,
            mechanism="gmac",
            pdu_octets=300,
            client_title=CLIENT_TITLE.hex(),
            energy=str(ENERGY),
            profile=str(LOAD_PROFILE),
            **{"from": (START + 10 * PERIOD).isoformat(), "to": (START + 57 * PERIOD).isoformat()},
            **DEDICATED,
        )

    assert 0xDC in served.tags, "general-ded-ciphering"
    assert served.tags.isdisjoint({0xC0, 0xC8, 0xDB}), "no GET goes plain or under the global key"
    assert found["energy"] == 123_456
    assert found["by_range"] == [expected_row(index) for index in range(10, 58)]
    assert found["all"] == 500


@pytest.mark.parametrize("mechanism", SECURITY)
def test_gurux_reads_our_meter_in_general_blocks(mechanism: str) -> None:
    """Its acknowledgements carry the last-block bit and have numbers of their own, as ours do."""
    with listening(open_meter()) as served:
        found = peer(
            "gurux_reads.py",
            port=served.port,
            mechanism=mechanism,
            pdu_octets=300,
            general_blocks=1,
            client_title=CLIENT_TITLE.hex(),
            energy=str(ENERGY),
            profile=str(LOAD_PROFILE),
            **{"from": (START + 10 * PERIOD).isoformat(), "to": (START + 57 * PERIOD).isoformat()},
            **SECURITY[mechanism],
        )

    assert 0xE0 in served.tags
    assert found["energy"] == 123_456
    assert found["by_range"] == [expected_row(index) for index in range(10, 58)]
    assert found["all"] == 500


def test_gurux_proves_itself_by_the_mechanism_of_manufacturers() -> None:
    meter = open_meter(rows=60)
    secret = b"sixteen octets.."
    meter.associations[READER] = AssociationPolicy(
        client_sap=READER, mechanism=Mechanism.HLS, secret=secret, grants=READ_ALL
    )
    with listening(meter) as served:
        ask: dict[str, Any] = {
            "port": served.port,
            "mechanism": "hls",
            "client_sap": READER,
            "client_title": CLIENT_TITLE.hex(),
            "energy": str(ENERGY),
            "profile": str(LOAD_PROFILE),
            "from": START.isoformat(),
            "to": START.isoformat(),
        }
        found = peer("gurux_reads.py", password=secret.decode(), **ask)
        with pytest.raises(PeerFailedError):
            peer("gurux_reads.py", password="another secret..", **ask)

    assert found["energy"] == 123_456
    assert found["by_range"] == [expected_row(0)]


@pytest.mark.parametrize("script", PEERS)
@pytest.mark.parametrize(
    ("mechanism", "changes"),
    [("lls", {"password": "wrong"}), ("gmac", {"guek": "00" * 16}), ("gmac", {"gak": "00" * 16})],
)
def test_a_foreign_client_with_a_wrong_secret_is_refused(
    script: str, mechanism: str, changes: dict[str, Any]
) -> None:
    with listening(open_meter(rows=0)) as served:
        with pytest.raises(PeerFailedError):
            peer(
                script,
                port=served.port,
                mechanism=mechanism,
                client_title=CLIENT_TITLE.hex(),
                energy=str(ENERGY),
                profile=str(LOAD_PROFILE),
                **{"from": START.isoformat(), "to": START.isoformat()},
                **(SECURITY[mechanism] | changes),
            )
        assert served.associated == set()
