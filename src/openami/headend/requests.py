# SPDX-License-Identifier: Apache-2.0
"""A command is asked for by page, program or hand: checked, permitted, durable, audited."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from openami.access import policy
from openami.access.accounts import Role, record
from openami.exchange.commands import CommandKind, Priority
from openami.headend.ledger import items_of
from openami.headend.orders import AlarmsOrder, ClockOrder, OrderError, order_of
from openami.runtime.errors import UserError
from openami.store import commands
from openami.store.database import Database, transaction

MOST_WAIT_S: Final = 366 * 86_400.0
MOST_CORRELATION: Final = 64
REASON_LETTERS: Final = (3, 200)


class NotPermittedError(UserError):
    """The account may not send this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of one meter or of many.

    Attributes:
        kind: What is done.
        argument: JSON after `headend.orders`.
        reason: Why, for the audit trail.
        priority: An urgent one overtakes.
        valid_in_s: Seconds from now until it may be sent.
        valid_s: Seconds from then on in which it may be begun.
        correlation: What the asker calls it.
    """

    kind: CommandKind
    reason: str
    argument: Mapping[str, Any] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    valid_in_s: float = 0.0
    valid_s: float = 300.0
    correlation: str | None = None

    def check(self, role: Role) -> None:
        """Refuse what is asked wrongly, or by somebody who may not.

        Raises:
            OrderError: It cannot be understood.
            NotPermittedError: The role may not send it.
        """
        order = order_of(self.kind, self.argument)
        items = items_of(self.kind, order)
        force = any(isinstance(each, ClockOrder) and each.force for _, each in items)
        filters = any(isinstance(o, AlarmsOrder) and o.action == "filter" for _, o in items)
        kinds = {self.kind, *(kind for kind, _ in items)}
        if sentence := policy.refused(role, kinds, force=force, filters=filters):
            raise NotPermittedError(sentence)
        least, most = REASON_LETTERS
        letters = len(self.reason.strip())
        if not least <= letters <= most:
            raise OrderError(f"the reason has {letters} letters: give {least} to {most}")
        if not 0 <= self.valid_in_s <= MOST_WAIT_S:
            raise OrderError(f"it is to wait {self.valid_in_s:g} s: give 0 to {MOST_WAIT_S:g}")
        if not 1 <= self.valid_s <= MOST_WAIT_S:
            raise OrderError(f"it is valid for {self.valid_s:g} s: give 1 to {MOST_WAIT_S:g}")
        if self.correlation is not None and not 1 <= len(self.correlation) <= MOST_CORRELATION:
            raise OrderError(f"the correlation is no text of 1 to {MOST_CORRELATION} letters")


def ask(database: Database, meter_id: int, wanted: Request, *, login: str, role: Role) -> str:
    """Write a command and its line of the audit trail; return its id.

    Raises:
        OrderError: It cannot be understood.
        NotPermittedError: The role may not send it.
        MeterBusyError: The meter still works on one as urgent.
    """
    wanted.check(role)
    with transaction(database) as connection:
        command_id = commands.ask(
            connection,
            meter_id=meter_id,
            kind=wanted.kind,
            argument=dict(wanted.argument),
            asked_by=login,
            reason=wanted.reason.strip(),
            priority=wanted.priority,
            valid_in_s=wanted.valid_in_s,
            valid_s=wanted.valid_s,
            correlation=wanted.correlation,
        )
        record(connection, login, f"command.{wanted.kind.value}", f"meter {meter_id}")
    return command_id


def ask_many(  # noqa: PLR0913  whom, what, who asks, who is told
    database: Database,
    meter_ids: Iterable[int],
    wanted: Request,
    *,
    login: str,
    role: Role,
    progress: Callable[[int], None] = lambda _count: None,
) -> tuple[dict[int, str], dict[int, str]]:
    """Ask each of many meters; return the ids, and why some were left out, by meter.

    `progress` is told how many were asked or left out.
    """
    wanted.check(role)
    asked: dict[int, str] = {}
    left: dict[int, str] = {}
    for meter_id in meter_ids:
        try:
            asked[meter_id] = ask(database, meter_id, wanted, login=login, role=role)
        except commands.MeterBusyError as busy:
            left[meter_id] = str(busy)
        progress(len(asked) + len(left))
    return asked, left


def cancel(database: Database, command_id: str, reason: str, *, login: str, role: Role) -> None:
    """Withdraw a command that nobody has begun with.

    Raises:
        NotPermittedError: The role may not.
        UserError: There is none of that id, or it is too late.
    """
    if role not in policy.MAY_CANCEL:
        raise NotPermittedError(f"an account of role {role.value} cancels nothing")
    with transaction(database) as connection:
        found = commands.cancel(connection, command_id, login, reason)
        record(connection, login, "command.cancel", f"meter {found.meter_id}, {command_id}")
