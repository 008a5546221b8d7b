# SPDX-License-Identifier: Apache-2.0
"""A fleet of our own meters gets new keys by the command line, all of it as processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from factorystock import stock
from headend.test_kill import METERS, Running, Service
from openami.access.keystore import KeyStore
from openami.headend.registry_import import import_shipment, load_shipment
from openami.lifecycle.keys import MeterKeys
from openami.lifecycle.plan import meter_title
from openami.store import keys
from openami.store.keys import KeyState

pytestmark = pytest.mark.faults

FLEET = range(2, METERS + 1)  # meter 1 is the full meter, which has processes of its own
PATIENCE_S = 120.0


def openami(*words: object) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "openami", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return ended.stdout


def test_a_fleet_gets_new_keys(tmp_path: Path) -> None:
    ami = Running(tmp_path)
    stock(ami.layout, concentrators=False)
    fleet = Service("fleet", ami.layout.fleet)
    services = (ami.headend, ami.concentrator, fleet)
    import_shipment(ami.engine, load_shipment(ami.layout.headend / "shipment.json"))
    try:
        for service in services:
            service.start()
        home = ("--home", ami.layout.headend)
        meters = [word for meter_id in FLEET for word in ("--meter", meter_id)]
        words = ("--master-key", "--reason", "test", "--follow", "--json")
        told = json.loads(openami("headend", "keys", "rotate", *home, *meters, *words))
        assert told["meters"]["changed"] == len(FLEET), "\n".join(each.words() for each in services)
        unwrap = KeyStore(ami.layout.headend / "keystore", create=False).unwrap
        for meter_id in FLEET:
            title = meter_title(meter_id)
            held = MeterKeys.load(ami.layout.meter(title) / "keys.json", title)
            active = keys.epochs(ami.engine, meter_id)[0]
            assert active.state is KeyState.ACTIVE
            assert held.epoch == 2
            for name in ("guek", "gak", "kek"):
                assert unwrap(active.wrapped[name]) == getattr(held, name)
    finally:
        for service in services:
            if service.process is not None and service.process.poll() is None:
                service.kill()
        ami.engine.dispose()
