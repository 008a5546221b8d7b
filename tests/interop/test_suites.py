# SPDX-License-Identifier: Apache-2.0
"""A foreign client with suites 1 and 2, and with HLS by ECDSA, reads our meter.

gurux-dlms 1.0.203 for Python ciphers with both suites and proves itself by ECDSA on P-256.  It
signs nothing on P-384 ("Invalid private key scheme"), wraps no keys of 32 octets, and has neither
general-signing nor agreed keys: those have no peer here.
"""

from typing import Any

import pytest

from dlmskeys import SUITE_0, SUITE_1, SUITE_2, keys, pair
from interop.meters import PeerFailedError, listening, peer
from openami.cosem.device import SECURITY_SETUP
from openami.dlms.hls import Mechanism
from openami.dlms.security.suites import SecuritySuite
from playbooks.demo_meter import CLIENT_TITLE, ENERGY, LOAD_PROFILE, MANAGER, NAME, PERIOD, START
from playbooks.secure_meter import CLIENT, METER, SecureMeter

pytestmark = pytest.mark.interop

MECHANISMS = {"gmac": Mechanism.HLS_GMAC, "ecdsa": Mechanism.HLS_ECDSA}


def private(seed: int, suite: SecuritySuite) -> str:
    key = pair(suite, seed).signing.key
    number = key.private_numbers().private_value
    return number.to_bytes(key.key_size // 8).hex()


def ask(suite: SecuritySuite, mechanism: str) -> dict[str, Any]:
    held = keys(suite)
    pairs = {}
    if mechanism == "ecdsa":
        pairs = {
            "private": private(CLIENT, suite),
            "peer_public": pair(suite, METER).signing.public.octets.hex(),
        }
    return pairs | {
        "client_sap": MANAGER,
        "mechanism": mechanism,
        "suite": suite,
        "client_title": CLIENT_TITLE.hex(),
        "guek": held.encryption_key.hex(),
        "gak": held.authentication_key.hex(),
        "counter": 1,
        "energy": str(ENERGY),
        "profile": str(LOAD_PROFILE),
        "from": START.isoformat(),
        "to": (START + 20 * PERIOD).isoformat(),
    }


@pytest.mark.parametrize("pdu_octets", [300, 65535])
@pytest.mark.parametrize(
    ("suite", "mechanism"), [(SUITE_1, "gmac"), (SUITE_1, "ecdsa"), (SUITE_2, "gmac")]
)
def test_a_foreign_client_reads_our_meter(
    suite: SecuritySuite, mechanism: str, pdu_octets: int
) -> None:
    meter = SecureMeter(suite, mechanism=MECHANISMS[mechanism])
    with listening(meter) as served:
        found = peer(
            "gurux_reads.py", port=served.port, pdu_octets=pdu_octets, **ask(suite, mechanism)
        )

    assert bytes.fromhex(found["name"]) == NAME
    assert found["energy"] == 123_456
    assert len(found["by_range"]) == 21
    assert found["all"] == 100
    assert served.associated == {MANAGER}


@pytest.mark.parametrize("suite", [SUITE_0, SUITE_1])
def test_a_foreign_client_replaces_our_meters_key(suite: SecuritySuite) -> None:
    meter = SecureMeter(suite)
    new = bytes([0x42]) * suite.key_octets
    told = {
        "transfer": new.hex(),
        "kek": meter.master_key.octets.hex(),
        "security_setup": str(SECURITY_SETUP),
    }
    with listening(meter) as served:
        found = peer("gurux_reads.py", port=served.port, **(ask(suite, "gmac") | told))

    assert found["energy"] == found["energy_under_new_key"] == 123_456
    assert [row[0].encryption_key for row in meter.recorded.rows] == [new]


@pytest.mark.parametrize("key", ["private", "peer_public"])
def test_a_foreign_client_with_a_strange_key_is_refused(key: str) -> None:
    strange = pair(SUITE_1, 9).signing
    wrong = {"private": private(9, SUITE_1), "peer_public": strange.public.octets.hex()}
    with listening(SecureMeter(SUITE_1, mechanism=Mechanism.HLS_ECDSA)) as served:
        with pytest.raises(PeerFailedError):
            peer("gurux_reads.py", port=served.port, **(ask(SUITE_1, "ecdsa") | {key: wrong[key]}))
        assert served.associated == (set() if key == "private" else {MANAGER})
