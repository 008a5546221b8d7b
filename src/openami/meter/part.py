# SPDX-License-Identifier: Apache-2.0
"""The non-secure world as a program of an image: management, begun without a command line.

    HOME LINE RECORD DOOR [UPLINK CALLERS USER]
    tls …

LINE is the way to metrology in the words of `line.management_line`, RECORD the descriptor of the
record that boot handed over, DOOR that of the secure world, empty where keys are not in there; the
rest is `partition.Through`.  With `tls` it is another part: `tlspart`.

A sentence and the exit status say what went wrong, as the command line does.
"""

import sys
from pathlib import Path

from openami.device.handover import handed_over
from openami.meter import management_process, tlspart
from openami.meter.through import Behind, Through
from openami.runtime.errors import UserError
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped, stop_with_parent


def main(arguments: list[str]) -> int:
    """Run management, or the TLS partition, until SIGTERM; return the exit status."""
    stop_with_parent()
    set_up_logs()
    try:
        if arguments[0] == tlspart.WORD:
            tlspart.close(arguments[1:])
            run_until_stopped(lambda stop: tlspart.serve(arguments[1:], stop))
            return 0
        return _management(arguments)
    except UserError as error:
        print(f"openami: {error}", file=sys.stderr)  # noqa: T201  the supervisor keeps it
        return int(error.exit_code)


def _management(arguments: list[str]) -> int:
    home, line, record, opening = Path(arguments[0]), arguments[1], int(arguments[2]), arguments[3]
    door = Path(opening) if opening else None
    through = Through.of_words(*arguments[4:]) if arguments[4:] else None
    return run_until_stopped(
        lambda stop: management_process.serve(
            home, line, stop, handed_over(record), behind=Behind(door, through)
        )
    )
