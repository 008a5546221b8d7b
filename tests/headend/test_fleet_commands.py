# SPDX-License-Identifier: Apache-2.0
"""A fleet of our own meters is commanded by the command line, all of it as processes."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from chain import INSTALLED
from factorystock import stock
from headend.test_fleet_keys import openami
from headend.test_kill import METERS, Running, Service
from openami.exchange.events import EventCode
from openami.headend.registry_import import import_shipment, load_shipment
from openami.runtime.clock import CalendarState, boot_id, to_us
from openami.store import registry

pytestmark = pytest.mark.faults

FLEET = range(2, METERS + 1)  # meter 1 is the full meter, which has processes of its own
TARIFF = {
    "name": "flat",
    "activate": "now",
    "days": [{"id": 1, "switch": [{"at": "00:00", "tariff": 3}]}],
    "weeks": [{"name": "w", "days": [1] * 7}],
    "seasons": [{"name": "s", "start": "01-01", "week": "w"}],
    "special_days": [{"date": "12-25", "day": 1}],
}
ROW = {
    "class_id": 71,
    "logical_name": "0.0.17.0.0.255",
    "attribute_id": 6,
    "value": {"double-long-unsigned": 0},
}
ITEMS: list[dict[str, Any]] = [
    {"kind": "read"},
    {"kind": "tariff", "argument": TARIFF},
    {"kind": "clock", "argument": {"action": "shift", "shift_s": 60}},
    {"kind": "clock", "argument": {"action": "set"}},
    {"kind": "disconnect"},
    {"kind": "connect"},
    {"kind": "parameters", "argument": {"set": [ROW]}},
    {"kind": "limit", "argument": {"normal": 0}},
]


def logged(engine: Engine, meter_id: int) -> bool:
    codes = {event.code for event in registry.events(engine, meter_id=meter_id)}
    return {EventCode.CLOCK_ADJUSTED, EventCode.LOAD_LIMITED} <= codes


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.1)


def test_a_fleet_is_commanded_and_acts_on_it(tmp_path: Path) -> None:
    """The last order sets a limit of nothing, so that the meters cut their supply by themselves."""
    ami = Running(tmp_path)
    CalendarState(  # the same minute of the loads whenever this machine was started
        base_us=to_us(INSTALLED),
        epoch_monotonic_s=time.monotonic(),
        speed=1.0,
        running=True,
        boot=boot_id(),
    ).store(ami.layout.clock)
    stock(ami.layout, concentrators=False)
    fleet = Service("fleet", ami.layout.fleet)
    services = (ami.headend, ami.concentrator, fleet)
    import_shipment(ami.engine, load_shipment(ami.layout.headend / "shipment.json"))
    file = tmp_path / "bundle.json"
    file.write_text(json.dumps({"items": ITEMS}), encoding="utf-8")
    try:
        for service in services:
            service.start()
        home = ("--home", ami.layout.headend)
        meters = [word for meter_id in FLEET for word in ("--meter", meter_id)]
        common = (*home, *meters, "--reason", "test", "--follow", "--json")
        told = json.loads(openami("headend", "command", "send", "bundle", file, *common))
        loaded = set()
        for command in told["commands"]:
            found = command["result"]["items"]
            assert [item["state"] for item in found] == ["confirmed"] * len(ITEMS), command
            shifted = found[2]["result"]
            assert abs(shifted["deviation_after_s"] - shifted["deviation_before_s"] - 60) < 2
            if found[0]["result"]["power_w"] > 0:
                loaded.add(command["meter_id"])
        assert loaded  # one that uses nothing is over no limit
        openami("headend", "command", "send", "arm", *common)  # it is cut: a person may close it
        for meter_id in loaded:
            assert registry.meter(ami.engine, meter_id).breaker == 2
            until(partial(logged, ami.engine, meter_id))  # the log is read after the answer
    finally:
        for service in services:
            if service.process is not None and service.process.poll() is None:
                service.kill()
        ami.engine.dispose()
