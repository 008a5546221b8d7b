# SPDX-License-Identifier: Apache-2.0
"""Who may send which kind of command: one table.

Every member of the staff sees every meter.  The utility may all; an operator works the switch, the
load limit and the clock, as far as nothing is forced, and clears alarms, whose filter is the
utility's; a viewer reads.  A household sends nothing.
"""

from collections.abc import Collection, Mapping
from typing import Final

from openami.access.accounts import Role
from openami.exchange.commands import CommandKind

MAY_SEND: Final[Mapping[Role, frozenset[CommandKind]]] = {
    Role.UTILITY: frozenset(CommandKind),
    Role.OPERATOR: frozenset(
        {
            CommandKind.READ,
            CommandKind.CONNECT,
            CommandKind.ARM,
            CommandKind.DISCONNECT,
            CommandKind.LIMIT,
            CommandKind.CLOCK,
            CommandKind.ALARMS,
            CommandKind.BUNDLE,
        }
    ),
    Role.VIEWER: frozenset({CommandKind.READ}),
    Role.HOUSEHOLD: frozenset(),
}
MAY_FORCE: Final = frozenset({Role.UTILITY})
MAY_FILTER: Final = frozenset({Role.UTILITY})
MAY_CANCEL: Final = frozenset({Role.UTILITY, Role.OPERATOR})


def refused(
    role: Role, kinds: Collection[CommandKind], *, force: bool, filters: bool = False
) -> str:
    """Return why a role may not send a command of these kinds; empty if it may."""
    for kind in sorted(set(kinds) - MAY_SEND[role], key=lambda each: each.value):
        may = ", ".join(sorted(each.value for each in MAY_SEND[role])) or "nothing"
        return f"an account of role {role.value} may not send {kind.value}: it may send {may}"
    if force and role not in MAY_FORCE:
        return f"an account of role {role.value} may not force: ask the utility's own account"
    if filters and role not in MAY_FILTER:
        sentence = f"an account of role {role.value} may not change which alarms are told"
        return f"{sentence}: ask the utility's own account"
    return ""
