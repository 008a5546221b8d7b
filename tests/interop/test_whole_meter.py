# SPDX-License-Identifier: Apache-2.0
"""Foreign clients read the meter itself, through its plain listener: both modules, every client."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from interop.meters import LOOPBACK, PeerFailedError, peer, running
from meter.house import DAY_S, HEAD_END, INSTALLED_S, KEYS, MeterInMemory, config_in, expected_wh
from openami.meter.load import INTERVAL_S
from openami.meter.objects import LOAD_PROFILE
from openami.meter.serving import listen_plain

pytestmark = pytest.mark.interop

PEERS = ("gurux_reads.py", "dlms_cosem_reads.py")
IMPORT = "1.0.1.8.0.255"
CLIENTS: dict[str, dict[str, Any]] = {
    "none": {"client_sap": 16},
    "lls": {"client_sap": 32, "password": KEYS.lls.decode(), "energy": IMPORT},
    "gmac": {
        "client_sap": 1,
        "guek": KEYS.guek.hex(),
        "gak": KEYS.gak.hex(),
        "counter": 1,
        "energy": IMPORT,
    },
}


class Whole(NamedTuple):
    meter: MeterInMemory
    port: int


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[Whole]:
    meter = MeterInMemory(config_in(tmp_path))
    meter.run(DAY_S)
    with running(lambda: listen_plain(meter.management, LOOPBACK)) as port:
        yield Whole(meter, port)


def moment(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


def asked(whole: Whole, mechanism: str) -> dict[str, Any]:
    return CLIENTS[mechanism] | {
        "port": whole.port,
        "mechanism": mechanism,
        "client_title": HEAD_END.hex(),
        "profile": str(LOAD_PROFILE),
        "from": moment(INSTALLED_S + 3 * INTERVAL_S),
        "to": moment(INSTALLED_S + 50 * INTERVAL_S),
    }


@pytest.mark.parametrize("mechanism", CLIENTS)
@pytest.mark.parametrize("script", PEERS)
def test_a_foreign_client_reads_the_meter(whole: Whole, script: str, mechanism: str) -> None:
    found = peer(script, **asked(whole, mechanism))

    assert bytes.fromhex(found["name"]).decode() == whole.meter.config.ldn
    assert found["clock"] == moment(whole.meter.calendar_s)
    if mechanism == "none":
        assert len(found["objects"]) == 5, "clock, name, SAPs, frame counter, association"
        return
    readings = expected_wh(1, 48)
    assert found["energy"] == sum(readings)
    assert (found["columns"], found["all"]) == (6, 48)
    by_range = found["by_range"]
    assert [row[0] for row in by_range] == [
        moment(INSTALLED_S + number * INTERVAL_S) for number in range(3, 49)
    ]
    assert [row[2] for row in by_range] == readings[2:]
    assert [row[4] for row in by_range] == [sum(readings[:n]) for n in range(3, 49)]


@pytest.mark.parametrize("script", PEERS)
@pytest.mark.parametrize(
    ("mechanism", "changes"), [("lls", {"password": "wrong"}), ("gmac", {"gak": "00" * 16})]
)
def test_a_foreign_client_with_a_wrong_secret_is_refused(
    whole: Whole, script: str, mechanism: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(PeerFailedError):
        peer(script, **(asked(whole, mechanism) | changes))
