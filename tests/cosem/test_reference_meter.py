# SPDX-License-Identifier: Apache-2.0
"""The reference meter: its file is what its table says, and each value fits its class."""

import json

import pytest

from cosem.reference_meter import FILE, reference_meter, text_of
from openami.cosem.dump import Dump, DumpedObject
from openami.cosem.simulation import class_of
from openami.dlms import data

METER = reference_meter()


def test_the_file_is_as_its_table() -> None:
    assert FILE.read_text(encoding="utf-8") == text_of(METER), (
        "run python tests/cosem/reference_meter.py"
    )


def test_the_file_reads_back() -> None:
    assert Dump.from_json(json.loads(FILE.read_text(encoding="utf-8"))) == METER


@pytest.mark.parametrize("each", METER.objects, ids=[str(each.obis) for each in METER.objects])
def test_every_object_is_of_its_class(each: DumpedObject) -> None:
    of = class_of(each, METER.association_version)
    assert (of.class_id, of.version) == (each.class_id, each.version)
    for row in of.attributes():
        if (octets := each.octets(row.index)) is not None:
            row.kind.strict(data.decode(octets))
