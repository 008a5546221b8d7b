# SPDX-License-Identifier: Apache-2.0
"""The `openami` command: one table of subcommands, each loaded only when it is asked for.

A meter process must not pay for Polars, nor `openami decode` for FastAPI: so the module of a
subcommand is imported when its name stands on the command line.  A refusal is one sentence on
standard error; exit status 0 done, 1 refused, 2 asked wrongly.
"""

import errno
import os
import sys
from collections.abc import Mapping
from typing import Final

import click

from openami.cli.loading import Loading
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.process import stop_with_parent

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "up": ("openami.cli.up", "up"),
    "provision": ("openami.cli.provision", "provision_parts"),
    "alive": ("openami.cli.alive", "alive"),
    "meter": ("openami.cli.meter", "meter"),
    "fleet": ("openami.cli.meter", "fleet"),
    "concentrator": ("openami.cli.concentrator", "concentrator"),
    "headend": ("openami.cli.headend", "headend"),
    "mdm": ("openami.cli.mdm", "mdm"),
    "web": ("openami.cli.web", "web"),
    "read": ("openami.cli.read", "read"),
    "write": ("openami.cli.write", "write"),
    "call": ("openami.cli.call", "call"),
    "profile": ("openami.cli.profile", "profile"),
    "push": ("openami.cli.push", "push"),
    "scan": ("openami.cli.scan", "scan"),
    "dump": ("openami.cli.dump", "dump"),
    "simulate": ("openami.cli.simulate", "simulate"),
    "decode": ("openami.cli.decode", "decode"),
    "conformance": ("openami.cli.conformance", "conformance"),
    "translate": ("openami.cli.translate", "translate"),
    "check": ("openami.cli.check", "check"),
    "backup": ("openami.cli.backup", "backup"),
    "restore": ("openami.cli.backup", "restore"),
    "credentials": ("openami.cli.credentials", "credentials"),
    "psa-evidence": ("openami.cli.psa_evidence", "psa_evidence"),
    "attest": ("openami.cli.attest", "attest"),
    "image": ("openami.cli.image", "image"),
    "bearer": ("openami.cli.bearer", "bearer"),
}


NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a full disk says, or one that fails."""


class Systems(Loading):
    """The subcommands of `COMMANDS`."""

    table = COMMANDS


@click.group(cls=Systems, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=None, version="0.1.0", prog_name="openami")
def openami() -> None:
    """OpenAMI: advanced metering infrastructure, from the meter to the grid's decisions."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    stop_with_parent()
    try:
        status = openami.main(args=arguments, prog_name="openami", standalone_mode=False)
        sys.stdout.flush()
    except UserError as error:
        print(f"openami: {error}", file=sys.stderr)  # noqa: T201  the sentence is the output
        return int(error.exit_code)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        # What is still in the buffer cannot be written either: Python is not to try at its end.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  till the end
        sentence = f"output cannot be written ({error.strerror}): free space or write elsewhere"
        print(f"openami: {sentence}", file=sys.stderr)  # noqa: T201
        return int(ExitCode.REFUSED)
    except (click.Abort, KeyboardInterrupt):
        return 130
    return status if isinstance(status, int) else 0
