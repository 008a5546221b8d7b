# SPDX-License-Identifier: Apache-2.0
"""Fuzz one target for some seconds, guided by coverage: `python -m fuzz.run NAME SECONDS`.

The corpus is every octet string of the test vectors.  A defect ends the process with status 1; the
octets that caused it stand on standard error, and go into `regressions.toml` with its cure.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris  # type: ignore[import-untyped]  # brings no types

HEX = frozenset("0123456789abcdefABCDEF \n")
VECTORS = Path(__file__).resolve().parent.parent / "vectors"
LONGEST_OCTETS = 4096
CORES = ["openami.dlms", "openami.cosem", "openami.firmware", "openami.psa"]


def seeds() -> Iterator[bytes]:
    """Yield every hexadecimal string of the vectors."""
    for path in sorted(VECTORS.rglob("*.toml")):
        for piece in path.read_text(encoding="utf-8").split('"')[1::2]:
            digits = "".join(piece.split())
            if len(digits) >= 4 and len(digits) % 2 == 0 and set(digits) <= HEX:
                yield bytes.fromhex(digits)


def main() -> None:
    name, seconds = sys.argv[1], float(sys.argv[2])
    with atheris.instrument_imports(
        include=["openami.dlms", "openami.cosem", "openami.firmware", "openami.psa"]
    ):
        from fuzz.targets import TARGETS  # noqa: PLC0415  what is imported here is instrumented
        from openami.dlms.errors import DlmsError  # noqa: PLC0415

    target = TARGETS[name]

    def one(octets: bytes) -> None:
        try:
            target(octets)
        except DlmsError as refused:
            str(refused)
        except BaseException:
            sys.stderr.write(f"{name} fails on {octets.hex()}\n")
            raise

    with TemporaryDirectory() as folder:
        for number, octets in enumerate(seeds()):
            Path(folder, str(number)).write_bytes(octets[:LONGEST_OCTETS])
        arguments = [
            sys.argv[0],
            f"-max_total_time={max(1, round(seconds))}",
            f"-max_len={LONGEST_OCTETS}",
            "-timeout=20",
            "-rss_limit_mb=2048",
            "-verbosity=0",
            "-print_final_stats=1",
            f"-artifact_prefix={folder}/",
            folder,
        ]
        atheris.Setup(arguments, one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
