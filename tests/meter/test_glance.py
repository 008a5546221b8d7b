# SPDX-License-Identifier: Apache-2.0
"""A meter seen through its files: the registers its processes have, and nothing touched."""

from pathlib import Path

from click.testing import CliRunner

from meter.plant import Plant
from openami.cli.main import openami
from openami.meter.bank import MetrologyBank
from openami.meter.config import MeterConfig
from openami.meter.glance import Glance
from openami.meter.measuring.terminals import Terminals
from openami.meter.metrology_process import metrology_of
from openami.meter.supply import SUPPLY, SupplyLog
from openami.runtime.clock import MICROSECONDS, Clock
from openami.runtime.layout import Layout


def test_registers_are_those_of_the_journal(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "var", meters=2, speed=0.001)
    home = plant.meter_home(1)
    config = MeterConfig.load(home)
    untouched = Glance(home).momentary()
    assert untouched.breaker_closed
    assert not (home / "metrology" / "metrology.journal").exists()

    (home / "metrology").mkdir()
    now_s = Clock(Layout(tmp_path / "var").clock).now_us() // MICROSECONDS
    bank = MetrologyBank(
        home / "metrology" / "metrology.journal", {1: metrology_of(config)}, keep=10
    )
    bank.advance(now_s - 86_400)
    bank.set_breaker(1, now_s - 86_400, closed=False)
    octets = (home / "metrology" / "metrology.journal").read_bytes()
    opened = Glance(home).momentary()
    assert not opened.breaker_closed
    assert opened.import_register_wh < untouched.import_register_wh
    bank.advance(now_s)
    assert opened.import_register_wh == bank.meters[1].momentary(now_s).import_register_wh
    assert (home / "metrology" / "metrology.journal").read_bytes().startswith(octets)
    bank.close()


def test_a_supply_that_failed_is_seen(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "var", meters=1, speed=0.001)
    home = plant.meter_home(1)
    sound = Glance(home).momentary()
    (home / "metrology").mkdir()
    log = SupplyLog(home / "metrology" / SUPPLY)
    log.note(Terminals(level_l1=0.0).share(sound.at_s - 86_400), 0)

    failed = Glance(home).momentary()

    assert failed.power_w == 0
    assert 0 < failed.import_register_wh < sound.import_register_wh
    log.close()


def test_the_command_shows_a_meter_of_the_fleet_and_its_relay(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "var", meters=2, speed=0.001)
    arguments = ["meter", "display", "--home", str(plant.meter_home(2)), "--once"]
    done = CliRunner().invoke(openami, arguments)
    assert done.exit_code == 0, done.output
    assert done.output.count("┌") == 9
    assert "relay closed" in done.output
    assert "12.7.0" in done.output
