# SPDX-License-Identifier: Apache-2.0
"""Metrology as a program of an image: begun without a command line.

    HOME DESCRIPTOR WEEKS MEASUREMENT

DESCRIPTOR is the line to management, WEEKS the file of the load that is replayed behind the meter,
MEASUREMENT the hash of the image in hexadecimal digits.
"""

import sys
from pathlib import Path

from openami.meter import metrology_process
from openami.runtime.errors import UserError
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped, stop_with_parent


def main(arguments: list[str]) -> int:
    """Run metrology until SIGTERM; return the exit status."""
    home, descriptor, weeks, measurement = arguments
    stop_with_parent()
    set_up_logs()
    try:
        part = metrology_process.Part(Path(weeks), bytes.fromhex(measurement))
        run_until_stopped(
            lambda stop: metrology_process.serve(Path(home), int(descriptor), stop, part)
        )
    except UserError as error:
        print(f"openami: {error}", file=sys.stderr)  # noqa: T201  the supervisor keeps it
        return int(error.exit_code)
    return 0
