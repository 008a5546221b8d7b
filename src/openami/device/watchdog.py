# SPDX-License-Identifier: Apache-2.0
"""The watchdog of a host: whether a program that it runs has said nothing for too long.

A program says that it lives by its status file (`runtime.status`), which it writes each second.
"""

import time
from pathlib import Path

from openami.runtime.status import read_statuses


def is_silent(run_folder: Path, process: str, began_s: float, most_s: float) -> bool:
    """Tell whether the watchdog has to bark.

    Args:
        run_folder: Where statuses are.
        process: The name that the program says.
        began_s: Monotonic time at which it was started.
        most_s: How long it may say nothing.
    """
    found = [each for each in read_statuses(run_folder) if each.process == process]
    silent_s = min([time.monotonic() - began_s, *(each.age_s for each in found)])
    return silent_s > most_s
