# SPDX-License-Identifier: Apache-2.0
"""InformationReport: made by our server, read by our client, and what neither takes."""

from typing import Any

import pytest

from openami.cosem.classes.measurement import Data, Register
from openami.cosem.model import Refused
from openami.cosem.refusals import UnexpectedAnswerError
from openami.cosem.rights import Grant
from openami.dlms import apdu as apdus
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.variables import BlockNumberAccess, VariableName
from openami.dlms.apdu.write import InformationReport
from openami.dlms.conversation import NOTHING
from openami.dlms.errors import LocalProtocolError
from openami.dlms.obis import Obis
from playbooks.demo_meter import ENERGY, LDN, MANAGER, NAME, NOTE, READER, Link
from playbooks.named_meter import EVERYTHING, OPEN, Line, NamedMeter, associated


@pytest.fixture
def line() -> Line:
    return Line().open()


def without(bits: Conformance) -> Line:
    return Line().open(EVERYTHING & ~bits, pdu_octets=64)


def test_a_report(line: Line) -> None:
    (reported,) = line.server.information_report(
        OPEN, [(Register.value, ENERGY), (Data.value, LDN)], current_time=b"20130301003000Z"
    )
    report = apdus.decode(reported)
    assert isinstance(report, InformationReport)
    assert reported.hex().startswith("18" + "010f" + b"20130301003000Z".hex() + "02")
    assert report.values == (123_456, NAME)
    assert [f"{each.name:04x}" for each in report.variables if hasattr(each, "name")] == [
        line.meter.at(ENERGY),
        "fd08",
    ]
    (timeless,) = line.server.information_report(OPEN, [(Data.value, LDN)])
    assert timeless.hex().startswith("1800")


def test_reports_that_cannot_be_made() -> None:
    def refusal(line: Line, at: Obis = ENERGY) -> Any:
        with pytest.raises(Refused) as caught:
            line.server.information_report(line.client_sap, [(Register.value, at)])
        return caught.value.result

    assert refusal(without(Conformance.INFORMATION_REPORT)) is (
        DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    )
    assert refusal(Line().open(), Obis(9, 9, 9, 9, 9, 9)) is DataAccessResult.OBJECT_UNDEFINED
    meter = NamedMeter()
    meter.change(OPEN, grants=(Grant(at=ENERGY, write=(2,), read=(1,)),))
    assert refusal(Line(meter).open()) is DataAccessResult.READ_WRITE_DENIED
    with pytest.raises(LocalProtocolError, match="64 octets at most"):
        without(Conformance(0)).server.information_report(OPEN, [(Data.value, LDN)] * 4)
    with pytest.raises(LocalProtocolError):
        Line().server.information_report(OPEN, [])


@pytest.mark.parametrize("changes", [{}, {"dedicated_key": bytes(range(32, 48))}])
def test_a_report_is_protected(changes: dict[str, Any]) -> None:
    meter = NamedMeter()
    policy = meter.associations[MANAGER]
    meter.change(MANAGER, conformance=policy.conformance | Conformance.INFORMATION_REPORT)
    reports = {"conformance": policy.conformance | Conformance.INFORMATION_REPORT}
    link = associated(MANAGER, meter=meter, **(changes | reports))

    link.run(link.client.get(Register.value, at=ENERGY))
    (octets,) = link.server.information_report(MANAGER, [(Register.value, ENERGY)])
    assert octets[0] == (0x58 if "dedicated_key" in changes else 0x38)
    told: list[Any] = []
    link.client.notified = told.append
    link.client.unasked(octets)
    (report,) = map(link.client.reported, told)
    assert report.current_time is None
    assert [(each.object, each.row, each.value) for each in report.rows] == [
        ((3, ENERGY), 2, 123_456)
    ]


def test_a_report_may_come_before_an_answer() -> None:
    link = associated(conformance=Conformance.GET | Conformance.INFORMATION_REPORT)
    link.run(link.client.get(Data.value, at=LDN))
    told: list[Any] = []
    link.client.notified = told.append
    steps = link.client.get(Register.value, at=ENERGY)
    request = next(steps)
    (report,) = link.server.information_report(OPEN, [(Data.value, LDN), (Data.value, NOTE)])
    assert steps.send(report) is NOTHING
    with pytest.raises(StopIteration) as stop:
        steps.send(link.send(request))
    assert stop.value.value == 123_456
    assert [row.row for row in link.client.reported(told[0]).rows] == [2, 2]


def test_reports_that_make_no_sense() -> None:
    link = associated()
    reported = link.client.reported
    unknown = reported(InformationReport(variables=(VariableName(name=0x7000),), values=(None,)))
    assert unknown.rows == ((0x7000, None, 0, None),)
    with pytest.raises(UnexpectedAnswerError, match="1 values for 0 variables"):
        reported(InformationReport(variables=(), values=(None,)))
    block = BlockNumberAccess(block_number=1)
    with pytest.raises(UnexpectedAnswerError, match="a block stands in it"):
        reported(InformationReport(variables=(block,), values=(None,)))
    by_logical_name = Link(client_sap=READER)
    with pytest.raises(LocalProtocolError):
        by_logical_name.client.reported(InformationReport(variables=(), values=()))
