# SPDX-License-Identifier: Apache-2.0
"""`openami meter supply`: who is named, what is written, what is refused."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openami.cli.main import openami
from openami.cli.meter_supply import without_supply
from openami.headend.registry_import import import_shipment, load_shipment
from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.meter import street
from openami.meter.measuring.terminals import FILE, Terminals
from openami.runtime.layout import Layout
from openami.store import registry, topology
from openami.store.database import open_database


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("supply") / "var")
    provision(layout, Plan(meters=6, installed_us=0))
    database = open_database(layout.database_url, create=True)
    import_shipment(database, load_shipment(layout.headend / "shipment.json"))
    topology.put(
        database,
        topology.load_csv(layout.headend / "topology.csv", registry.meters(database)),
    )
    database.dispose()
    return layout


def run(layout: Layout, *words: str) -> Result:
    return CliRunner().invoke(openami, ["meter", "supply", *words, "--var", str(layout.var)])


def dark(layout: Layout) -> list[int]:
    return without_supply(layout, range(1, 7))


def test_cut_show_and_restore(layout: Layout) -> None:
    """Meter 1 runs in full: its terminals are told; the others are a fleet."""
    done = run(layout, "cut", "--transformer", "north-t1")
    assert (done.exit_code, done.output) == (0, "3 meters are cut off\n")
    assert dark(layout) == [1, 3, 5]
    assert street.load(layout.fleet / "supply.json") == {3, 5}
    (terminals,) = layout.meters.glob(f"*/{FILE}")
    assert terminals.parent.name.endswith("01")
    assert Terminals.load(terminals).level_l2 == 0.0
    assert run(layout, "cut", "--meter", "2").output == "1 meter is cut off\n"
    assert "4 of 6 meters are without supply" in run(layout, "show").output
    run(layout, "restore", "--region", "north")
    assert dark(layout) == [2]
    run(layout, "restore")
    assert dark(layout) == []
    assert Terminals.load(terminals) == Terminals()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("cut",), "say what to cut"),
        (("cut", "--transformer", "t99"), "--transformer t99 fits no meter"),
        (("cut", "--meter", "77"), "--meter 77 fits no meter"),
        (("restore", "--feeder", "x"), "known are north-f1"),
    ],
)
def test_who_is_not_there_is_refused(layout: Layout, words: tuple[str, ...], sentence: str) -> None:
    done = run(layout, *words)
    assert done.exit_code == 2 or done.exception is not None
    assert sentence in (done.output + str(done.exception))
    assert dark(layout) == []


def test_without_a_store_the_remedy_is_named(tmp_path: Path) -> None:
    done = run(Layout(tmp_path), "show")
    assert "openami up" in (done.output + str(done.exception))
