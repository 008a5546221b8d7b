# SPDX-License-Identifier: Apache-2.0
"""`openami conformance`: hold any DLMS/COSEM meter to the abstract conformance tests."""

import asyncio
import fnmatch
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from openami.cli.conformance_html import page
from openami.cli.conformance_profile import EXAMPLE, Profile, load
from openami.cli.conformance_record import Redaction, record, report, resumed
from openami.cli.conformance_run import Bench, drive, read_counters, run
from openami.cli.connecting import INTERRUPTED, Stop
from openami.cosem.conformance.case import (
    Case,
    Failed,
    Group,
    Inconclusive,
    LineLost,
    Verdict,
)
from openami.cosem.conformance.runner import LINE_LOST
from openami.cosem.conformance.suite import CASES, Planned, plan
from openami.cosem.conformance.symsec_keys import restore
from openami.cosem.conformance.trial import Trial
from openami.dlms.errors import DlmsError
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.files import write_durably, write_json
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, client_tls
from openami.transport.url import ALL_SCHEMES, Url

GROUPS: Final = {group.name.lower().replace("_", "-"): group for group in Group}
LOST_IN_A_ROW: Final = 5
"""After so many cases without a meter a run ends."""
SAVED_EVERY_S: Final = 2.0
HDLC: Final = frozenset({"hdlc+tcp", "hdlc+serial"})
CONNECTIONLESS: Final = frozenset({"udp", "dtls", "coap", "coaps"})
ENDS_WITH_CONNECTION: Final = "APPL_REL_P1_LOWER"
"""The case that hangs up, and so needs something to hang up."""


@click.group()
def conformance() -> None:
    """Test any DLMS/COSEM meter against the abstract conformance tests.

    No certification: the DLMS UA certifies, with its own tool.
    """


@conformance.command("init")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def init(file: Path) -> int:
    """Write a declaration to begin with to FILE."""
    if file.exists():
        sentence = f"{file} is there already: give another name, or remove it first"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    write_durably(file, EXAMPLE.encode())
    click.echo(f"{file} is written: say in it what the meter claims to be")
    return int(ExitCode.DONE)


@conformance.command("list")
@click.option("--case", "names", multiple=True, help="Cases by name; * and ? stand for others.")
@click.option("--group", "groups", multiple=True, type=click.Choice(list(GROUPS)))
def list_cases(names: tuple[str, ...], groups: tuple[str, ...]) -> int:
    """List the cases."""
    _echo_cases(chosen(names, groups))
    return int(ExitCode.DONE)


@conformance.command("run")
@click.argument("url")
@click.option(
    "--profile",
    "profile_path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="What the meter claims to be (TOML); `init` writes one to begin with.",
)
@click.option("--case", "names", multiple=True, help="Cases by name; * and ? stand for others.")
@click.option("--group", "groups", multiple=True, type=click.Choice(list(GROUPS)))
@click.option("--association", "associations", multiple=True, help="Associations by name.")
@click.option("--list", "only_list", is_flag=True, help="List what would be run, and do nothing.")
@click.option("--allow-changes", is_flag=True, help="Also cases that write, and write back.")
@click.option("--skip-slow", is_flag=True, help="Leave out cases that wait for time-outs.")
@click.option("--resume", is_flag=True, help="Go on where the run in the JSON report stopped.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("conformance.json"),
    show_default=True,
)
@click.option(
    "--html",
    "html_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("conformance.html"),
    show_default=True,
)
@click.option("--ca", type=click.Path(path_type=Path), help="tls://: the authority (PEM).")
@click.option("--cert", type=click.Path(path_type=Path), help="tls://: our certificate (PEM).")
@click.option("--key", type=click.Path(path_type=Path), help="tls://: our private key (PEM).")
def run_cases(  # noqa: PLR0913  one parameter an option
    *,
    url: str,
    profile_path: Path,
    names: tuple[str, ...],
    groups: tuple[str, ...],
    associations: tuple[str, ...],
    only_list: bool,
    allow_changes: bool,
    skip_slow: bool,
    resume: bool,
    json_path: Path,
    html_path: Path,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
) -> int:
    """Run conformance cases at the meter at URL.

    Exit status 0 if every case passes or does not apply, 1 if one fails or comes to no end.

    \b
    openami conformance run tcp://127.0.0.1:4059 --profile meter.toml
    openami conformance run hdlc+serial:///dev/ttyUSB0 --profile meter.toml --group hdlc
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    address = Url.parse(url, "the address", ALL_SCHEMES)
    profile = load(profile_path)
    cases = [each for each in chosen(names, groups) if not (skip_slow and each.slow)]
    planned = [
        each
        for each in plan(cases, profile.declaration)
        if _wanted(each, address, associations, allow_changes=allow_changes)
    ]
    _check_associations(associations, profile)
    if only_list:
        for each in planned:
            click.echo(f"{each.key:44} {each.case.title}")
        return int(ExitCode.DONE)
    records = resumed(json_path, profile) if resume else []
    run_ = Run(profile, address, json_path, html_path, records)
    return asyncio.run(run_.hold(planned, _secured(address, ca, cert, key)))


@conformance.command("restore")
@click.argument("url")
@click.option(
    "--profile",
    "profile_path",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The declaration of the run that was killed.",
)
def restore_keys(url: str, profile_path: Path) -> int:
    """Put back the declared keys after a run was killed while it had replaced them."""
    address = Url.parse(url, "the address", ALL_SCHEMES)
    profile = load(profile_path)
    lost = asyncio.run(_restore(Bench(address, profile), profile))
    return int(ExitCode.REFUSED if lost else ExitCode.DONE)


async def _restore(bench: Bench, profile: Profile) -> int:
    """Put keys back at each association that has a master key; return how many are lost."""
    lost = 0
    try:
        await read_counters(bench, profile, click.echo)
        for association in profile.declaration.associations:
            if association.master_key is None or association.security_setup is None:
                continue
            trial = Trial(profile.declaration, os.urandom, association)
            try:
                said = await drive(bench, restore(trial), Stop())
            except (Failed, Inconclusive, LineLost, DlmsError) as error:
                lost += 1
                said = str(error)
            click.echo(f"{association.name}: {said}")
    finally:
        await bench.close()
    return lost


def chosen(names: tuple[str, ...], groups: tuple[str, ...]) -> list[Case]:
    """Return the cases that names and groups choose; all where neither is given.

    Raises:
        UserError: A name that fits no case.
    """
    for name in names:
        if not any(fnmatch.fnmatchcase(case.id.lower(), name.lower()) for case in CASES):
            sentence = f"--case {name} fits no case: `openami conformance list` shows them"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    wanted = {GROUPS[each] for each in groups}
    return [
        case
        for case in CASES
        if (not names or any(fnmatch.fnmatchcase(case.id.lower(), n.lower()) for n in names))
        and (not wanted or case.group in wanted)
    ]


def _echo_cases(cases: list[Case]) -> None:
    for case in cases:
        marks = " (changes)" * case.changes + " (waits)" * case.slow
        click.echo(f"{case.id:32} {case.title}{marks}")


def _wanted(
    planned: Planned, url: Url, associations: tuple[str, ...], *, allow_changes: bool
) -> bool:
    if planned.association is None:
        return url.scheme in HDLC and not associations
    if associations and planned.association.name not in associations:
        return False
    if planned.case.id == ENDS_WITH_CONNECTION and url.scheme in CONNECTIONLESS:
        return False
    return allow_changes or not planned.case.changes


def _check_associations(names: tuple[str, ...], profile: Profile) -> None:
    known = [each.name for each in profile.declaration.associations]
    for name in names:
        if name not in known:
            sentence = f"--association {name} is not declared: use {', '.join(known)}"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)


def _secured(url: Url, ca: Path | None, cert: Path | None, key: Path | None) -> Secured | None:
    if not url.encrypted:
        return None
    if ca is None or cert is None or key is None:
        sentence = f"a certificate for {url} is needed: --ca, --cert and --key"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    settings = client_tls(TlsIdentity(ca, cert, key))
    return Secured(settings, Expected(roles=frozenset({Role.METER})))


class Run:
    """One run and its reports, which are written while it lasts."""

    def __init__(
        self,
        profile: Profile,
        url: Url,
        json_path: Path,
        html_path: Path,
        records: list[dict[str, Any]],
    ) -> None:
        self._profile = profile
        self._url = url
        self._json_path = json_path
        self._html_path = html_path
        self._records = records
        self._hide = Redaction(profile.secrets)
        self._began = _now()
        self._saved_s = 0.0

    async def hold(self, planned: list[Planned], secured: Secured | None) -> int:
        """Run what is not yet in the records; return the exit status."""
        done = {each["key"] for each in self._records}
        left = [each for each in planned if each.key not in done]
        if done:
            click.echo(f"{len(done)} cases were run before, {len(left)} are left")
        bench = Bench(self._url, self._profile, secured)
        await bench.open()
        stop, lost = Stop(), 0
        try:
            with stop.listening():
                await read_counters(bench, self._profile, click.echo)
                async for each, result in run(bench, self._profile, left, stop):
                    self._records.append(record(each, result, self._hide))
                    self._tell(each, result.verdict, result.reason)
                    self._save()
                    if result.verdict is not Verdict.NOT_APPLICABLE:
                        lost = lost + 1 if result.reason.startswith(LINE_LOST) else 0
                    if lost == LOST_IN_A_ROW:
                        click.echo("the meter is not there any more; --resume goes on from here")
                        break
        finally:
            await bench.close()
            found = self._save(final=True)
        click.echo(", ".join(f"{count} {name}" for name, count in found["summary"].items()))
        click.echo(f"reports: {self._html_path}, {self._json_path}")
        if stop.asked:
            click.echo("stopped; --resume goes on from here")
            return INTERRUPTED
        summary = found["summary"]
        doubtful = summary[Verdict.FAIL.value] + summary[Verdict.INCONCLUSIVE.value]
        return int(ExitCode.REFUSED if doubtful else ExitCode.DONE)

    def _tell(self, planned: Planned, verdict: Verdict, reason: str) -> None:
        if verdict is Verdict.NOT_APPLICABLE:
            return  # the reports say why
        words = f": {self._hide(reason)}" if verdict in {Verdict.FAIL, Verdict.INCONCLUSIVE} else ""
        click.echo(f"{verdict.value:14} {planned.key}{words}")

    def _save(self, *, final: bool = False) -> dict[str, Any]:
        now = time.monotonic()
        times = {"began": self._began, "ended": _now()}
        if not final and now - self._saved_s < SAVED_EVERY_S:
            return {}
        self._saved_s = now
        found = report(self._profile, str(self._url), times, self._records)
        write_json(self._json_path, found)
        if final:
            write_durably(self._html_path, page(found).encode())
        return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
