# SPDX-License-Identifier: Apache-2.0
"""Who may send what: the table of the code is the one in docs/commands.md."""

from pathlib import Path

import pytest

from openami.access.accounts import STAFF, Role
from openami.access.policy import MAY_CANCEL, MAY_FORCE, MAY_SEND, refused
from openami.exchange.commands import CommandKind

DOCUMENT = Path(__file__).parents[2] / "docs" / "commands.md"


def documented() -> dict[str, list[str]]:
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    begin = lines.index("| role | sends | cancels | forces a clock |") + 2
    rows = [line.strip("| ").split(" | ") for line in lines[begin : begin + len(Role)]]
    return {row[0].strip("`"): row[1:] for row in rows}


@pytest.mark.parametrize("role", list(Role))
def test_the_document_says_what_the_table_says(role: Role) -> None:
    sends, cancels, forces = documented()[role.value]
    kinds = MAY_SEND[role]
    if kinds == frozenset(CommandKind):
        assert sends == "every kind"
    elif not kinds:
        assert sends == "nothing"
    else:
        said = sends.replace(", and bundles of these", ", bundle").split(", ")
        assert set(said) == {kind.value for kind in kinds}
    assert cancels == ("yes" if role in MAY_CANCEL else "no")
    assert forces == ("yes" if role in MAY_FORCE else "no")


def test_every_role_is_in_the_table_and_only_staff_sends() -> None:
    assert set(MAY_SEND) == set(Role)
    assert {role for role, kinds in MAY_SEND.items() if kinds} == STAFF


def test_a_refusal_names_what_may_be_sent() -> None:
    kinds = {CommandKind.BUNDLE, CommandKind.TARIFF}
    sentence = refused(Role.OPERATOR, kinds, force=False)
    assert sentence.startswith(
        "an account of role operator may not send tariff: it may send alarms,"
    )
    assert refused(Role.UTILITY, kinds, force=True) == ""
    alarms = {CommandKind.ALARMS}
    assert refused(Role.OPERATOR, alarms, force=False) == ""
    assert "which alarms" in refused(Role.OPERATOR, alarms, force=False, filters=True)
    assert refused(Role.UTILITY, alarms, force=False, filters=True) == ""
    assert "may not force" in refused(Role.OPERATOR, {CommandKind.CLOCK}, force=True)
