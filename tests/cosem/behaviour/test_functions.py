# SPDX-License-Identifier: Apache-2.0
import pytest

from openami.cosem.behaviour.functions import Functions, NoSink
from openami.cosem.classes.protection import FunctionControl, FunctionDefinition, FunctionStatus
from openami.cosem.classes.references import ObjectReference
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.obis import Obis

CONTROL = Obis(0, 0, 44, 1, 0, 255)
LOAD = FunctionDefinition(b"load", (ObjectReference(70, Obis(0, 0, 96, 3, 10, 255)),))
PUSH = FunctionDefinition(b"push", ())


class Sink:
    def __init__(self) -> None:
        self.calls: list[tuple[bytes, int, bool]] = []
        self.refused = b""

    def switch(self, name: bytes, objects: tuple[ObjectReference, ...], *, active: bool) -> None:
        if name == self.refused:
            raise Refused(ActionResult.HARDWARE_FAULT)
        self.calls.append((name, len(objects), active))


def control() -> tuple[FunctionControl, Functions, Sink]:
    sink = Sink()
    thing = FunctionControl(
        CONTROL,
        function_list=(LOAD, PUSH),
        activation_status=(
            FunctionStatus(b"load", function_status=True),
            FunctionStatus(b"push", function_status=False),
        ),
    )
    return thing, Functions(thing, sink), sink


def refused(thing: FunctionControl, method: int, argument: object) -> ActionResult:
    with pytest.raises(Refused) as caught:
        thing.invocations[method](argument)
    assert isinstance(caught.value.result, ActionResult)
    return caught.value.result


def test_functions_are_switched() -> None:
    thing, _, sink = control()
    thing.invocations[1](
        (
            FunctionStatus(b"load", function_status=False),
            FunctionStatus(b"push", function_status=False),
        )
    )
    assert sink.calls == [(b"load", 1, False)]
    assert thing.activation_status == (
        FunctionStatus(b"load", function_status=False),
        FunctionStatus(b"push", function_status=False),
    )


def test_unknown_functions_and_refusals_change_nothing() -> None:
    thing, _, sink = control()
    before = thing.activation_status
    wanted = (
        FunctionStatus(b"load", function_status=False),
        FunctionStatus(b"none", function_status=True),
    )
    assert refused(thing, 1, wanted) == ActionResult.OBJECT_UNDEFINED
    assert refused(thing, 3, b"none") == ActionResult.OBJECT_UNDEFINED
    assert refused(thing, 2, LOAD) == ActionResult.OTHER_REASON
    sink.refused = b"push"
    result = refused(thing, 1, (FunctionStatus(b"push", function_status=True),))
    assert result == ActionResult.HARDWARE_FAULT
    assert thing.activation_status == before
    assert sink.calls == []


def test_functions_come_and_go() -> None:
    thing, _, sink = control()
    thing.invocations[2](FunctionDefinition(b"new", ()))
    assert thing.activation_status[-1] == FunctionStatus(b"new", function_status=False)
    thing.invocations[3](b"load")
    assert sink.calls == [(b"load", 1, False)]
    assert [each.function_name for each in thing.function_list] == [b"push", b"new"]


def test_a_power_cut_changes_nothing() -> None:
    thing, functions, _ = control()
    thing.invocations[2](FunctionDefinition(b"new", ()))
    thing.invocations[1](
        (
            FunctionStatus(b"new", function_status=True),
            FunctionStatus(b"load", function_status=False),
        )
    )
    other, again, sink = control()
    again.restore(functions.state())
    assert other.activation_status == thing.activation_status
    assert sink.calls == [(b"load", 1, False), (b"new", 0, True)]


def test_without_a_host_the_state_is_all_there_is() -> None:
    thing = FunctionControl(
        CONTROL, activation_status=(FunctionStatus(b"load", function_status=False),)
    )
    Functions(thing, NoSink())
    thing.invocations[1]((FunctionStatus(b"load", function_status=True),))
    assert thing.activation_status == (FunctionStatus(b"load", function_status=True),)
