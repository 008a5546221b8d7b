# SPDX-License-Identifier: Apache-2.0
"""Print the interpreter that the environment is to be made with.

It is the one that runs this, unless root would take it from below a folder that other users cannot
enter while the system has one that they can run: the parts of a meter are kept apart by users of
their own (`openami.runtime.users`), and each must be able to run the interpreter.
"""

import os
import subprocess
import sys

SYSTEM = "/usr/bin/python3"
NOBODY = 65534
SUITABLE = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"


def runs_for_others(interpreter: str) -> bool:
    """Tell whether a user without rights can make an environment with an interpreter."""
    try:
        command = [interpreter, "-I", "-c", SUITABLE]
        ended = subprocess.run(
            command,
            check=False,
            user=NOBODY,
            group=NOBODY,
            extra_groups=(),
            cwd="/",
            capture_output=True,
        )
    except OSError:
        return False
    return ended.returncode == 0


if __name__ == "__main__":
    found = sys.executable
    if os.geteuid() == 0 and not runs_for_others(found) and runs_for_others(SYSTEM):
        found = SYSTEM
    print(found)
