# SPDX-License-Identifier: Apache-2.0
"""Link the source tree, or the folder that is named, into the virtual environment that runs this.

An editable install builds a wheel and therefore needs a build back end from the network, outside
the hashed lock files.  Two small files do the same: a path file that puts `src` on the path, and
the `openami` command.
"""

import stat
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = f"""#!{sys.executable}
import sys

from openami.cli.main import main

sys.exit(main())
"""


def main() -> None:
    """Write the path file and the command."""
    if sys.prefix == sys.base_prefix:
        raise SystemExit("run this with the virtual environment's python: .venv/bin/python")
    source = ROOT / (sys.argv[1] if len(sys.argv) > 1 else "src")
    Path(sysconfig.get_path("purelib"), "openami.pth").write_text(f"{source}\n", encoding="utf-8")
    command = Path(sysconfig.get_path("scripts"), "openami")
    command.write_text(COMMAND, encoding="utf-8")
    command.chmod(command.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


if __name__ == "__main__":
    main()
