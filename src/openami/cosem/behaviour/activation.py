# SPDX-License-Identifier: Apache-2.0
"""Register activation: which of the assigned registers count (class 6, 4.3.5).

The registers of the active mask count, the other assigned registers rest; a register that is not
assigned is left alone.  A script of the tariffs writes active_mask.
"""

from typing import Any, Final

from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.registers import Counts
from openami.cosem.classes.references import ObjectReference
from openami.cosem.classes.tariff import RegisterActivation, RegisterActMask
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult

FIRST_INDEX: Final = 1
"""The number by which a mask refers to the first assigned register; not checked twice."""


class Activation:
    """Serves one register activation.

    Args:
        row: The object.
        life: Its device.
        first_index: The number of the first assigned register in masks, where a meter counts
            from 0.
    """

    def __init__(
        self, row: RegisterActivation, life: Life, *, first_index: int = FIRST_INDEX
    ) -> None:
        self._row = row
        self._life = life
        self._first_index = first_index
        row.values.setdefault(2, ())
        row.values.setdefault(3, ())
        row.values.setdefault(4, b"")
        row.bind_sink(RegisterActivation.active_mask, self.activate)
        row.bind_sink(RegisterActivation.register_assignment, lambda value: self._set(2, value))
        row.bind_sink(RegisterActivation.mask_list, lambda value: self._set(3, value))
        row.bind_method(RegisterActivation.add_register, self._add_register)
        row.bind_method(RegisterActivation.add_mask, self._add_mask)
        row.bind_method(RegisterActivation.delete_mask, self._delete_mask)

    def begin(self) -> None:
        """Let the active mask hold, once all registers of the device are bound."""
        self._apply()

    def activate(self, name: bytes) -> None:
        """Let another mask hold; the empty name lets no assigned register count.

        Raises:
            Refused: There is no such mask.
        """
        if name and all(each.mask_name != name for each in self._row.mask_list):
            raise Refused(DataAccessResult.OBJECT_UNDEFINED)
        self._set(4, name)

    def state(self) -> bytes:
        """Return the name of the active mask."""
        return self._row.active_mask

    def restore(self, state: Any) -> None:  # noqa: ANN401  the name of a mask
        self._set(4, state)

    def _set(self, index: int, value: object) -> None:
        self._row.values[index] = value
        self._apply()

    def _apply(self) -> None:
        row = self._row
        active = next((each for each in row.mask_list if each.mask_name == row.active_mask), None)
        chosen = active.index_list if active else ()
        for index, reference in enumerate(row.register_assignment, self._first_index):
            found = self._life.acting.get(reference.logical_name)
            if isinstance(found, Counts):
                found.counts = index in chosen

    def _add_register(self, reference: ObjectReference) -> None:
        if reference not in self._row.register_assignment:
            self._set(2, (*self._row.register_assignment, reference))

    def _add_mask(self, mask: RegisterActMask) -> None:
        """Add a mask, or replace the one of its name."""
        others = [each for each in self._row.mask_list if each.mask_name != mask.mask_name]
        self._set(3, (*others, mask))

    def _delete_mask(self, name: bytes) -> None:
        left = tuple(each for each in self._row.mask_list if each.mask_name != name)
        if len(left) == len(self._row.mask_list):
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        self._set(3, left)


def bind_register_activation(row: RegisterActivation, life: Life) -> Activation:
    """Bind a register activation to the registers of its device."""
    return Activation(row, life)
