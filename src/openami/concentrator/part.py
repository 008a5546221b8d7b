# SPDX-License-Identifier: Apache-2.0
"""The concentrator as the program of an image, begun without a command line.

    HOME RECORD

HOME is the concentrator's folder, RECORD the descriptor of the record that whoever verified the
image handed over (`module`).  A sentence and the exit status say what went wrong, as the command
line does; status 3 asks for a new start from the flash.
"""

import sys
from pathlib import Path

from openami.concentrator.process import serve
from openami.device.handover import handed_over
from openami.runtime.errors import UserError
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped, stop_with_parent


def main(arguments: list[str]) -> int:
    """Run the concentrator until SIGTERM, or until it wants a new start; return which."""
    stop_with_parent()
    set_up_logs()
    home, record = Path(arguments[0]), int(arguments[1])
    try:
        return int(run_until_stopped(lambda stop: serve(home, stop, handed_over(record))))
    except UserError as error:
        print(f"openami: {error}", file=sys.stderr)  # noqa: T201  the launcher keeps it
        return int(error.exit_code)
