# SPDX-License-Identifier: Apache-2.0
"""Function control: functions of the meter that can be switched on and off (4.4.10).

DLMS UA 1000-1 Ed. 12, 4.4.10.  What a function is, a `FunctionSink` of the host knows: it hears of
each change before it is made, and may refuse it.  A call is carried out whole or not at all, but
for functions that the host has switched before it refused another.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from openami.cosem.behaviour.results import as_action
from openami.cosem.classes.protection import FunctionControl, FunctionDefinition, FunctionStatus
from openami.cosem.classes.references import ObjectReference
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult


@runtime_checkable
class FunctionSink(Protocol):
    """Who carries out functions; a port of the host."""

    def switch(self, name: bytes, objects: tuple[ObjectReference, ...], *, active: bool) -> None:
        """Switch a function on or off.

        Raises:
            Refused: It cannot be.
        """
        ...


class NoSink:
    """Carries out nothing: the state of a function is all there is."""

    def switch(self, name: bytes, objects: tuple[ObjectReference, ...], *, active: bool) -> None:
        del name, objects, active


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionsState:
    """What of function control a power cut must not lose."""

    functions: tuple[FunctionDefinition, ...]
    active: frozenset[bytes]


class Functions:
    """The behaviour of one function control object."""

    def __init__(self, thing: FunctionControl, sink: FunctionSink) -> None:
        self._sink = sink
        listed: tuple[FunctionDefinition, ...] = thing.values.get(3, ())
        statuses: tuple[FunctionStatus, ...] = thing.values.get(2, ())
        self._functions = {each.function_name: each for each in listed}
        for status in statuses:
            name = status.function_name
            self._functions.setdefault(name, FunctionDefinition(name, ()))
        self._active = {each.function_name for each in statuses if each.function_status}
        thing.bind(FunctionControl.activation_status, self.statuses)
        thing.bind(FunctionControl.function_list, lambda: tuple(self._functions.values()))
        thing.bind_method(FunctionControl.set_function_status, as_action(self.set_status))
        thing.bind_method(FunctionControl.add_function, as_action(self.add))
        thing.bind_method(FunctionControl.remove_function, as_action(self.remove))

    def statuses(self) -> tuple[FunctionStatus, ...]:
        """Return which functions are active."""
        return tuple(FunctionStatus(name, name in self._active) for name in self._functions)

    def set_status(self, wanted: tuple[FunctionStatus, ...]) -> None:
        """Switch functions on and off; those that stand as wanted are left."""
        for each in wanted:
            self._known(each.function_name)
        for name, active in wanted:
            if (name in self._active) is not active:
                self._switch(name, active=active)

    def _switch(self, name: bytes, *, active: bool) -> None:
        specifications = self._functions[name].function_specifications
        self._sink.switch(name, specifications, active=active)
        if active:
            self._active.add(name)
        else:
            self._active.discard(name)

    def add(self, function: FunctionDefinition) -> None:
        """Take a function, not active; one of the same name is refused."""
        if function.function_name in self._functions:
            raise Refused(ActionResult.OTHER_REASON)
        self._functions[function.function_name] = function

    def remove(self, name: bytes) -> None:
        """Switch a function off and forget it."""
        self._known(name)
        if name in self._active:
            self._switch(name, active=False)
        del self._functions[name]

    def _known(self, name: bytes) -> None:
        if name not in self._functions:
            raise Refused(ActionResult.OBJECT_UNDEFINED)

    def state(self) -> FunctionsState:
        """Return what must not be lost."""
        return FunctionsState(
            functions=tuple(self._functions.values()), active=frozenset(self._active)
        )

    def restore(self, state: FunctionsState) -> None:
        """Go on from a state; the sink hears of every function that is switched by it."""
        self._functions = {each.function_name: each for each in state.functions}
        for name in self._functions:
            if (name in state.active) is not (name in self._active):
                self._switch(name, active=name in state.active)
        self._active &= self._functions.keys()
