# SPDX-License-Identifier: Apache-2.0
"""Commands are imported when they are named, and each that a group names is there."""

import subprocess
import sys

import click

from openami.cli.headend import headend


def test_a_head_end_does_not_load_what_only_its_reports_need() -> None:
    script = "import sys, openami.cli.headend; print([n for n in ('polars',) if n in sys.modules])"
    told = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert told == "[]\n"


def test_every_part_of_a_head_end_is_listed_and_explains_itself() -> None:
    assert isinstance(headend, click.Group)
    context = click.Context(headend)
    names = headend.list_commands(context)
    assert {"run", "command", "keys", "sla"} <= set(names)
    for name in names:
        command = headend.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str()
    assert headend.get_command(context, "no such part") is None
