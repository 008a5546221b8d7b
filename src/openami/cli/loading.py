# SPDX-License-Identifier: Apache-2.0
"""Groups of commands whose modules are imported when their names stand on the command line.

So a head-end does not pay for the Polars of its reports, nor `openami decode` for FastAPI.
"""

import importlib
from collections.abc import Mapping

import click


class Loading(click.Group):
    """Subcommands by name: module and name in it; others may be added as to any group."""

    table: Mapping[str, tuple[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self.table]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return super().get_command(ctx, cmd_name)
        module, name = self.table[cmd_name]
        command = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{name} is no click command")
        return command
