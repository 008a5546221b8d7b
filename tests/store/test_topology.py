# SPDX-License-Identifier: Apache-2.0
"""Who hangs where: CSV in, refused by line; what is read is what was written."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from blackout import meter
from openami.runtime.errors import ConfigurationError
from openami.store import topology
from openami.store.topology import Place

METERS = [meter(number) for number in (1, 2, 3)]
HEAD = "meter,transformer,feeder\n"


def load(folder: Path, text: str) -> list[Place]:
    path = folder / "topology.csv"
    path.write_text(text)
    return topology.load_csv(path, METERS)


def test_meters_are_named_by_number_or_title(tmp_path: Path) -> None:
    title = METERS[1].title.hex()
    places = load(tmp_path, f"{HEAD}1,t1,f1\n{title}, t1 ,f1\n\n3,t2,f1\n")
    assert [(each.meter_id, each.transformer, each.feeder) for each in places] == [
        (1, "t1", "f1"),
        (2, "t1", "f1"),
        (3, "t2", "f1"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "another heading"),
        ("meter;transformer;feeder\n", "another heading"),
        (f"{HEAD}1,t1\n", "line 2: .* three values"),
        (f"{HEAD}1,,f1\n", "line 2: .* three values"),
        (f"{HEAD}1,t1,f1\n9,t1,f1\n", "line 3: the registry has no meter '9'"),
        (f"{HEAD}1,t1,f1\n1,t2,f1\n", "line 3: meter 1 stands there twice"),
        (f"{HEAD}1,t1,f1\n2,t1,f2\n", "line 3: transformer t1 hangs on f1 above, on f2 here"),
    ],
)
def test_a_file_that_has_no_sense_is_refused_by_line(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        load(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        topology.load_csv(tmp_path / "nowhere", METERS)


def test_places_are_replaced_and_read_from_both_ends(engine: Engine) -> None:
    places = [Place(meter_id=n, transformer=f"t{n // 3}", feeder="f1") for n in range(1, 7)]
    assert topology.put(engine, places) == 6
    assert topology.put(engine, places) == 0
    moved = Place(meter_id=6, transformer="t9", feeder="f2")
    assert topology.put(engine, [moved]) == 1
    assert topology.read(engine)[6] == moved
    assert topology.places(engine, [6, 99]) == {6: moved}
    assert topology.under(engine, ["t1", "t8"]) == {"t1": {3, 4, 5}, "t8": frozenset()}
    assert topology.feeder_of(engine, ["t1", "t9"]) == {"t1": "f1", "t9": "f2"}
    assert topology.count_transformers(engine, ["f1", "f2"]) == {"f1": 2, "f2": 1}


def test_many_names_are_asked_for_in_pieces() -> None:
    assert [len(some) for some in topology.pieces(range(12_000))] == [5000, 5000, 2000]
