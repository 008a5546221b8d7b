# SPDX-License-Identifier: Apache-2.0
"""Script tables: steps that are carried out together, in their order (class 9, 4.5.2).

A step writes an attribute or invokes a method of the same device.  The first step that is refused
ends the script; the steps before it stay done, for nothing in COSEM can be taken back.
"""

from enum import IntEnum
from typing import Final

from openami.cosem.behaviour.host import DEEPEST, Life
from openami.cosem.behaviour.results import as_action
from openami.cosem.classes.tariff import ActionSpecification, ScriptTable
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult


class ScriptService(IntEnum):
    """What a step of a script does."""

    NOTHING = 0  # no step of the standard; meters fill unused rows with it
    WRITE = 1
    EXECUTE = 2


SERVICES: Final = frozenset(ScriptService)


class Scripts:
    """Serves one script table."""

    def __init__(self, table: ScriptTable, life: Life) -> None:
        self._table = table
        self._life = life
        table.bind_method(ScriptTable.execute, as_action(self.execute))

    def execute(self, identifier: int) -> None:
        """Carry out a script; 0 is the null script, which does nothing.

        Raises:
            Refused: There is no such script, scripts start one another without end, or a step is
                refused, with the result of that step.
            KindError: A step has a value of another type than its row declares.
        """
        if identifier == 0:
            return
        script = next(
            (each for each in self._table.scripts if each.script_identifier == identifier), None
        )
        if script is None:
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        if self._life.depth >= DEEPEST:
            raise Refused(ActionResult.OTHER_REASON)
        self._life.depth += 1
        try:
            for action in script.actions:
                self._carry_out(action)
        finally:
            self._life.depth -= 1

    def _carry_out(self, action: ActionSpecification) -> None:
        inside = self._life.inside
        row = (action.class_id, action.logical_name, action.row_index)
        if action.service_id not in SERVICES:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        if action.service_id == ScriptService.WRITE:
            inside.write(*row, action.parameter)
        elif action.service_id == ScriptService.EXECUTE:
            inside.invoke(*row, action.parameter)


def bind_script_table(table: ScriptTable, life: Life) -> Scripts:
    """Bind a script table to its device."""
    return Scripts(table, life)
