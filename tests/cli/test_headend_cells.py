# SPDX-License-Identifier: Apache-2.0
"""`openami headend cells`: what shares a narrow way comes from a file."""

from pathlib import Path

import pytest

from chain import Chain
from cli.runs import Run
from openami.access.accounts import audit_trail
from openami.headend.registry_import import import_shipment, load_shipment
from openami.store import registry


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    made = Chain(tmp_path)
    import_shipment(made.engine, load_shipment(made.layout.headend / "shipment.json"))
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys, "headend")


def test_cells_are_set_and_listed(chain: Chain, run: Run, tmp_path: Path) -> None:
    home = ("--home", chain.layout.headend)
    assert "no meter has a cell" in run("cells", "list", *home).out
    file = tmp_path / "cells.csv"
    file.write_text("meter_id,cell\n1,TR-7\n2,TR-7\n3,262-02-4711\n", encoding="utf-8")
    assert run("cells", "set", *home, file).out.startswith("3 meters changed")
    assert run("cells", "set", *home, file).out.startswith("0 meters changed")
    assert run("cells", "list", *home).out == "262-02-4711  1 meter\nTR-7  2 meters\n"
    file.write_text("meter_id,cell\n1,\n", encoding="utf-8")
    run("cells", "set", *home, file)
    assert registry.meter(chain.engine, 1).cell == ""
    assert audit_trail(chain.engine, 1)[0].action == "cells.set"
    chain.close()


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (None, (2, "cannot be read")),
        ("", (2, "does not begin with meter_id,cell")),
        ("1,TR-7\n", (2, "does not begin with meter_id,cell")),
        ("meter_id,cell\none,TR-7\n", (2, "line 2: 'one,TR-7' is no meter number")),
        ("meter_id,cell\n1,TR-7,x\n", (2, "line 2")),
        (f"meter_id,cell\n1,{'x' * 65}\n", (2, "line 2")),
        ("meter_id,cell\n1,TR-7\n99,TR-7\n", (1, "no meter 99")),
    ],
)
def test_mistakes_get_one_sentence_and_change_nothing(
    chain: Chain, run: Run, tmp_path: Path, text: str | None, refusal: tuple[int, str]
) -> None:
    file = tmp_path / "cells.csv"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    refused = run("cells", "set", "--home", chain.layout.headend, file)
    assert refused.status == refusal[0]
    assert refusal[1] in refused.sentence
    assert registry.cells(chain.engine) == {}
    chain.close()
