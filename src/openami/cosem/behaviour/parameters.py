# SPDX-License-Identifier: Apache-2.0
"""Parameter monitors: which of the listed attributes changed last, and when (class 65, 4.5.10).

A change is a write, by a client or a script, of another value than the attribute had.  Version 1
adds the values of the whole list and a digest over them; which number means which hash is not
known from a second source, so a host may bring its own table.
"""

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from openami.cosem.behaviour.host import Life
from openami.cosem.classes.monitoring import ChangedParameter, ParameterMonitor, ParameterMonitorV1
from openami.cosem.classes.references import AttributeReference
from openami.cosem.model import Attribute, InterfaceClass, Refused
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import Data, OctetString, Structure

HASHES: Final[Mapping[int, Callable[[bytes], bytes]]] = MappingProxyType(
    {0: lambda octets: hashlib.sha256(octets).digest()}
)
"""What stands behind hash_algorithm_id; not checked twice."""


class Parameters:
    """Serves one parameter monitor.

    Args:
        row: The object.
        life: Its device.
        hashes: What stands behind hash_algorithm_id.
    """

    def __init__(
        self,
        row: ParameterMonitor,
        life: Life,
        *,
        hashes: Mapping[int, Callable[[bytes], bytes]] = HASHES,
    ) -> None:
        self._row = row
        self._life = life
        self._hashes = hashes
        self._hooked: set[AttributeReference] = set()
        row.values.setdefault(4, ())
        row.bind_method(ParameterMonitor.add_parameter, self._add)
        row.bind_method(ParameterMonitor.delete_parameter, self._delete)
        row.bind_sink(ParameterMonitor.parameter_list, self._write_list)
        if isinstance(row, ParameterMonitorV1):
            row.values.setdefault(6, next(iter(hashes)))
            row.bind_sink(ParameterMonitorV1.hash_algorithm_id, self._check_hash)
            row.bind(ParameterMonitorV1.parameter_values, self.values)
            row.bind(ParameterMonitorV1.parameter_value_digest, self.digest)

    def begin(self) -> None:
        """Hear of writes to what is listed, once all objects are bound."""
        for reference in self._row.parameter_list:
            if not self._hook(reference):
                what = f"{reference.logical_name} has no attribute {reference.attribute_index}"
                self._life.report(self._row.logical_name, f"{what}: it is not watched")

    def values(self) -> Structure:
        """Return the values of the list, null-data where there is none now."""
        return Structure(self._life.read(*each) for each in self._row.parameter_list)

    def digest(self) -> bytes:
        """Return the hash of the encoded values; empty under a number without a hash."""
        found = self._hashes.get(self._row.values.get(6, -1))
        return b"" if found is None else found(axdr_data.encode(self.values()))

    def state(self) -> tuple[object, object]:
        """Return what changed last, and when."""
        return self._row.values.get(2), self._row.values.get(3)

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        for index, value in zip((2, 3), state, strict=True):
            if value is not None:
                self._row.values[index] = value

    def _hook(self, reference: AttributeReference) -> bool:
        """Put an ear on the writes of an attribute; return whether there is one."""
        if reference in self._hooked:
            return True
        try:
            thing = self._life.device[reference.logical_name]
        except KeyError:
            return False
        row = next(
            (row for row in thing.attributes() if row.index == reference.attribute_index), None
        )
        if row is None or thing.class_id != reference.class_id:
            return False
        self._hooked.add(reference)
        thing.bind_sink(row, self._ear(thing, row, reference))
        return True

    def _ear(
        self, thing: InterfaceClass, row: Attribute[Any], reference: AttributeReference
    ) -> Callable[[Any], None]:
        behind = thing.sinks.get(row.index)

        def hear(value: Any) -> None:  # noqa: ANN401  of the attribute's own type
            if behind is None and row.index in thing.sources:
                raise Refused(DataAccessResult.READ_WRITE_DENIED)
            before = self._life.read(*reference)
            if behind is not None:
                behind(value)
            told: Data = row.kind.to_data(value)
            if reference in self._row.parameter_list and (
                axdr_data.encode(told) != axdr_data.encode(before)
            ):
                self._note(reference, told)

        return hear

    def _note(self, reference: AttributeReference, value: Data) -> None:
        shown = self._life.shown(self._life.now_us())
        self._row.values[2] = ChangedParameter(*reference, value)
        self._row.values[3] = OctetString(shown.encode())

    def _add(self, reference: AttributeReference) -> None:
        if not self._hook(reference):
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        if reference not in self._row.parameter_list:
            self._row.parameter_list = (*self._row.parameter_list, reference)

    def _delete(self, reference: AttributeReference) -> None:
        if reference not in self._row.parameter_list:
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        self._row.parameter_list = tuple(
            each for each in self._row.parameter_list if each != reference
        )

    def _write_list(self, references: tuple[AttributeReference, ...]) -> None:
        if not all(map(self._hook, references)):
            raise Refused(DataAccessResult.OBJECT_UNDEFINED)

    def _check_hash(self, number: int) -> None:
        if number not in self._hashes:
            raise Refused(DataAccessResult.TYPE_UNMATCHED)


def bind_parameter_monitor(row: ParameterMonitor, life: Life) -> Parameters:
    """Bind a parameter monitor to the attributes it lists."""
    return Parameters(row, life)
