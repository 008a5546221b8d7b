# SPDX-License-Identifier: Apache-2.0
"""`openami check`: is an installation fit to start, before anybody starts it."""

import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
from cryptography import x509

from openami.concentrator.config import ConcentratorConfig
from openami.headend.config import HeadEndConfig
from openami.mdm.config import MdmConfig
from openami.meter.config import FleetConfig
from openami.runtime.errors import ExitCode, UserError
from openami.store.database import open_database
from openami.web.config import WebConfig

FOLDER: Final = click.Path(path_type=Path, file_okay=False)
SOON: Final = timedelta(days=30)
LOW_OCTETS: Final = 2 << 30
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
PRIVATE: Final = (
    "*.key",
    "keys.json",
    "key-encryption.json",
    "session.key",
    "*.pin",
    "tools/*.json",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or will be soon."""

    sentence: str
    wrong: bool = True


@click.command()
@click.argument("var", type=FOLDER, default=Path("var"))
def check(var: Path) -> int:
    """Read every configuration below VAR, look at keys, certificates, store and space.

    Nothing is changed. Status 1 where something would keep a process from starting, or a key is
    open to others; what will be wrong soon is said and ends with status 0.
    """
    if not var.is_dir():
        raise UserError(f"there is no folder {var}: give that of an AMI", ExitCode.ASKED_WRONGLY)
    now = datetime.now(UTC)
    findings = [*_configurations(var), *_certificates(var, now), *_private(var), *_space(var)]
    for finding in findings:
        click.echo(f"{'✕' if finding.wrong else '!'} {finding.sentence}")
    wrong = sum(finding.wrong for finding in findings)
    if wrong:
        raise UserError(f"{wrong} of these keep {var} from working: see above")
    click.echo(f"✓ {var} is fit to start")
    return int(ExitCode.DONE)


def _configurations(var: Path) -> Iterator[Finding]:
    def database(url: str) -> None:
        open_database(url).dispose()

    loads: list[tuple[Path, Callable[[Path], object]]] = [
        (var / "headend", lambda home: database(HeadEndConfig.load(home).database)),
        (var / "mdm", lambda home: database(MdmConfig.load(home).database)),
        (var / "web", lambda home: database(WebConfig.load(home).database_url)),
        (var / "fleet", FleetConfig.load),
        *((path, ConcentratorConfig.load) for path in sorted(var.glob("concentrators/*"))),
    ]
    found = 0
    for home, load in loads:
        if not home.is_dir() or not any(home.iterdir()):
            continue  # another part's, where each has what it needs and no more
        found += 1
        try:
            load(home.resolve())
        except UserError as error:
            yield Finding(str(error))
    if not found:
        yield Finding(f"{var} holds no part of an AMI: run `openami up`, or give another folder")


def _certificates(var: Path, now: datetime) -> Iterator[Finding]:
    for path in sorted(var.rglob("*.crt")):
        try:
            certificates = x509.load_pem_x509_certificates(path.read_bytes())
        except (ValueError, OSError) as error:
            yield Finding(f"{path} holds no certificate ({error}): restore it")
            continue
        ends = min(each.not_valid_after_utc for each in certificates)
        if ends <= now:
            yield Finding(f"{path} ended on {ends:%Y-%m-%d}: give it a new one")
        elif ends <= now + SOON:
            yield Finding(f"{path} ends on {ends:%Y-%m-%d}: give it a new one", wrong=False)
        if any(each.not_valid_before_utc > now for each in certificates):
            yield Finding(f"{path} is not valid yet: is the clock of this machine right?")


def _private(var: Path) -> Iterator[Finding]:
    for pattern in PRIVATE:
        for path in sorted(var.rglob(pattern)):
            mode = path.stat().st_mode & 0o777
            if mode & OTHERS:
                yield Finding(f"{path} may be read by others ({mode:04o}): chmod 600 it")


def _space(var: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(var).free
    if free < LOW_OCTETS:
        yield Finding(f"{var} has {free / 2**30:.1f} GiB free: make room", wrong=False)
