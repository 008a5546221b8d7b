# SPDX-License-Identifier: Apache-2.0
"""Meters of security suites 1 and 2 are read, commanded and given new keys, all as processes.

In suite 1 their keys are in files, in suite 2 in secure worlds that made the key pairs.
"""

import json
from pathlib import Path

import pytest

from factorystock import stock
from headend.test_fleet_keys import openami
from headend.test_kill import METERS, Running, Service
from openami.access.keystore import KeyStore
from openami.headend.config import HeadEndConfig
from openami.headend.directory import Directory
from openami.headend.pairs import believing
from openami.headend.registry_import import import_shipment, load_shipment
from openami.lifecycle.plan import meter_title
from openami.store import keys
from openami.store.keys import KeyState

pytestmark = pytest.mark.faults

FLEET = range(2, METERS + 1)  # meter 1 is the full meter, which has processes of its own


@pytest.mark.parametrize(
    ("suite", "walled"),
    [
        pytest.param(1, False, id="1"),
        pytest.param(2, True, id="2 walled, commissioned", marks=pytest.mark.long),
    ],
)
def test_a_fleet_of_a_suite_is_read_and_gets_new_keys(
    tmp_path: Path, *, suite: int, walled: bool
) -> None:
    ami = Running(tmp_path, suite)
    stock(ami.layout, concentrators=False)
    fleet = Service("fleet", ami.layout.fleet)
    services = (ami.headend, ami.concentrator, fleet)
    believe = believing(HeadEndConfig.load(ami.layout.headend))
    import_shipment(ami.engine, load_shipment(ami.layout.headend / "shipment.json"), believe)
    if walled:
        openami("fleet", "personalise", "--home", ami.layout.fleet)
        assert not (ami.layout.meter(meter_title(FLEET[0])) / "keys.json").exists()
    try:
        for service in services:
            service.start()
        home = ("--home", ami.layout.headend)
        meters = [word for meter_id in FLEET for word in ("--meter", meter_id)]
        words = ("--reason", "test", "--follow", "--json")
        told = json.loads(openami("headend", "command", "send", "read", *home, *meters, *words))
        assert {each["state"] for each in told["commands"]} == {"confirmed"}, told
        if walled:
            stages = json.loads(
                openami("headend", "commission", "begin", *home, "--meter", FLEET[0], *words)
            )
            reached = {stage for stage, counted in stages["stages"].items() if counted}
            assert reached == {"operating"}, stages
            meters = [word for meter_id in FLEET[1:] for word in ("--meter", meter_id)]
        told = json.loads(
            openami("headend", "keys", "rotate", *home, *meters, "--master-key", *words)
        )
        assert told["meters"]["changed"] == len(meters) // 2, "\n".join(
            each.words() for each in services
        )
        unwrap = KeyStore(ami.layout.headend / "keystore", create=False).unwrap
        directory = Directory(ami.engine, unwrap)
        for meter_id in FLEET:
            active = keys.epochs(ami.engine, meter_id)[0]
            assert active.state is KeyState.ACTIVE
            assert active.epoch == 2
            held = directory.ciphers(meter_id)[0].cipher.keys
            assert held.suite == suite
            assert len(held.encryption_key) == (16 if suite == 1 else 32)
    finally:
        for service in services:
            if service.process is not None and service.process.poll() is None:
                service.kill()
        ami.engine.dispose()
