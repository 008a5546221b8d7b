# SPDX-License-Identifier: Apache-2.0
"""Fuzz targets one after the other, guided by coverage: `python -m fuzz.run FOLDER LIMIT NAME…`.

The limit is of each target: of its runs (`runs=9000`) or of its time (`max_total_time=600`, in
seconds).  Each has a process of its own; instrumenting the modules takes long and is done once for
all.  The corpus is every octet string of the test vectors.  What a target says goes into
FOLDER/NAME; a defect ends with the octets that caused it, which go into `regressions.toml` with its
cure.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris  # type: ignore[import-untyped]  # brings no types

CORES = ["openami.coap", "openami.cosem", "openami.dlms", "openami.firmware", "openami.psa"]
CORES += [f"openami.device.{name}" for name in ("frame", "handshake", "link", "secure", "session")]
with atheris.instrument_imports(include=CORES):  # what is imported here is instrumented
    from fuzz.targets import TARGETS, Target
    from openami.dlms.errors import DlmsError

HEX = frozenset("0123456789abcdefABCDEF \n")
VECTORS = Path(__file__).resolve().parent.parent / "vectors"
LONGEST_OCTETS = 4096


def seeds() -> Iterator[bytes]:
    """Yield every hexadecimal string of the vectors."""
    for path in sorted(VECTORS.rglob("*.toml")):
        for piece in path.read_text(encoding="utf-8").split('"')[1::2]:
            digits = "".join(piece.split())
            if len(digits) >= 4 and len(digits) % 2 == 0 and set(digits) <= HEX:
                yield bytes.fromhex(digits)


def fuzz(name: str, target: Target, limit: str, corpus: Path) -> None:
    """Fuzz in this process, which ends with it."""

    def one(octets: bytes) -> None:
        try:
            target(octets)
        except DlmsError as refused:
            str(refused)
        except BaseException:
            sys.stderr.write(f"{name} fails on {octets.hex()}\n")
            raise

    with TemporaryDirectory() as found:
        arguments = [
            sys.argv[0],
            f"-{limit}",
            f"-max_len={LONGEST_OCTETS}",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-verbosity=0",
            "-print_final_stats=1",
            f"-artifact_prefix={found}/",
            found,
            str(corpus),
        ]
        atheris.Setup(arguments, one)
        atheris.Fuzz()


def main() -> None:
    folder, limit, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    with TemporaryDirectory() as corpus:
        for number, octets in enumerate(seeds()):
            Path(corpus, str(number)).write_bytes(octets[:LONGEST_OCTETS])
        for name in names:
            sys.stderr.flush()
            child = os.fork()
            if child == 0:
                log = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(log, sys.stderr.fileno())
                fuzz(name, TARGETS[name], limit, Path(corpus))
                os._exit(0)
            os.waitpid(child, 0)


if __name__ == "__main__":
    main()
