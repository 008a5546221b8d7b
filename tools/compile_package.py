# SPDX-License-Identifier: Apache-2.0
"""Compile the modules that every APDU passes through, from the same source, with mypyc.

Makes a copy of the package below `.cache/compiled` in which these modules stand as shared
libraries beside their source.  Whoever puts that folder before `src` on the path runs them;
nothing needs them.  A copy that is newer than its sources is left as it is.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
TARGET = ROOT / ".cache" / "compiled"
STAMP = TARGET / "compiled-from"

HOT = (
    "openami.dlms.association",
    "openami.dlms.axdr",
    "openami.dlms.data",
    "openami.dlms.security.ciphering",
    "openami.dlms.wrapper",
    "openami.dlms.security.channel",
    "openami.dlms.security.common_form",
    "openami.dlms.security.counters",
    "openami.dlms.security.envelopes",
    "openami.cosem.serving.logical_names",
    "openami.cosem.serving.reading",
    "openami.cosem.serving.services",
    "openami.cosem.serving.short_way",
    "openami.cosem.server",
    "openami.cosem.serving.association",
    "openami.cosem.client",
    "openami.cosem.asking.association",
    "openami.transport.session",
)
"""What lies on the way of an APDU between socket and object; measured, not guessed."""


def fingerprint() -> str:
    """Return what the compiled copy depends on, as one number."""
    found = hashlib.sha256("\n".join((sys.version, *HOT)).encode())
    for path in sorted(SOURCE.rglob("*.py")):
        found.update(str(path.relative_to(SOURCE)).encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def main() -> None:
    """Bring the compiled copy up to date."""
    wanted = fingerprint()
    if STAMP.exists() and STAMP.read_text(encoding="ascii") == wanted:
        return
    if shutil.which(os.environ.get("CC", "cc")) is None:
        raise SystemExit("a C compiler is missing: install gcc (apt install gcc), or do without")
    shutil.rmtree(TARGET, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE, TARGET, ignore=ignored)
    files = [str(Path(*name.split(".")).with_suffix(".py")) for name in HOT]
    print(f"compiling {len(files)} modules with mypyc, about a minute …", flush=True)
    command = [sys.executable, "-c", "from mypyc.__main__ import main; main()", *files]
    environment = os.environ | {"MYPYPATH": ".", "MYPY_CACHE_DIR": str(ROOT / ".cache" / "mypyc")}
    done = subprocess.run(
        command, cwd=TARGET, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"mypyc could not compile:\n{done.stdout}{done.stderr}")
    shutil.rmtree(TARGET / "build", ignore_errors=True)
    STAMP.write_text(wanted, encoding="ascii")


if __name__ == "__main__":
    main()
