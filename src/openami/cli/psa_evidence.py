# SPDX-License-Identifier: Apache-2.0
"""`openami psa-evidence`: which artefact and which test shows each security goal."""

from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Final

import click

from openami.cli.conformance_html import STYLE
from openami.device.evidence import Finding, Judged, Part, as_json, entries, judged
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.files import write_durably, write_json

FILE: Final = click.Path(path_type=Path, dir_okay=False)
HEADINGS: Final = {
    Part.GOAL: "Security goals",
    Part.CHIP: "Chip",
    Part.SOFTWARE: "System software",
    Part.DEVICE: "Device",
}
MARKS: Final = {
    Finding.SHOWN: ("pass", "✓"),
    Finding.IN_PART: ("open", "~"),
    Finding.NOT_RUN: ("open", "?"),
    Finding.ABSENT: ("none", "–"),
    Finding.REFUTED: ("fail", "✕"),
}


@click.command("psa-evidence")
@click.argument("results", nargs=-1, required=True, type=FILE)
@click.option("--html", type=FILE, help="Write a page for people.")
@click.option("--json", "json_file", type=FILE, help="Write everything for programs.")
def psa_evidence(results: tuple[Path, ...], html: Path | None, json_file: Path | None) -> int:
    """Hold the answers to PSA Certified Level 1 to RESULTS, which `pytest --junitxml` wrote.

    Status 1 where a test of an answer failed or did not run. This is no certificate: only the
    certification bodies of PSA Certified certify.
    """
    found = judged(entries(), results)
    if json_file is not None:
        write_json(json_file, as_json(found))
    if html is not None:
        write_durably(html, page(found).encode())
    for each in found:
        mark = MARKS[each.finding][1]
        note = f" ({each.entry.note})" if each.entry.note else ""
        click.echo(f"{mark} {each.entry.id:<4}{each.entry.title}: {each.finding.value}{note}")
    bad = [each.entry.id for each in found if each.finding in {Finding.REFUTED, Finding.NOT_RUN}]
    if bad:
        raise UserError(f"{', '.join(bad)}: tests failed or did not run: run them all")
    return int(ExitCode.DONE)


def page(found: Iterable[Judged]) -> str:
    """Return the evidence as one HTML document."""
    rows = list(found)
    title = "PSA Certified Level 1: goals, answers, evidence"
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
            f"<h1>{title}</h1>\n<p class='under'>Of the reference meter, from test results.</p>\n",
            '<div class="matrix"><table>\n',
            *(_line(part, rows) for part in Part),
            "</table></div>\n",
            *(text for part in Part for text in _part(part, rows)),
            "<footer>Questions in our own words under our own numbers. This is no certificate.",
            "</footer>\n</main>\n</body>\n</html>\n",
        ]
    )


def _line(part: Part, rows: Iterable[Judged]) -> str:
    mine = [each for each in rows if each.entry.part is part]
    shown = sum(each.finding is Finding.SHOWN for each in mine)
    cells = "".join(map(_cell, mine))
    return (
        f'<tr><th class="group">{HEADINGS[part]}</th><td><div class="cells">{cells}</div></td>'
        f'<td class="sum">{shown} of {len(mine)} shown</td></tr>\n'
    )


def _cell(each: Judged) -> str:
    kind, mark = MARKS[each.finding]
    words = escape(f"{each.entry.id} {each.entry.title}: {each.finding.value}", quote=True)
    return f'<a class="cell {kind}" href="#{each.entry.id}" title="{words}">{mark}</a>'


def _part(part: Part, rows: Iterable[Judged]) -> Iterator[str]:
    yield f'<h2>{HEADINGS[part]}</h2>\n<div class="runs">\n'
    for each in rows:
        if each.entry.part is part:
            yield _run(each)
    yield "</div>\n"


def _run(each: Judged) -> str:
    kind, mark = MARKS[each.finding]
    entry = each.entry
    note = f"<dt>missing</dt><dd>{escape(entry.note)}</dd>" if entry.note else ""
    tests = "".join(
        f"<dd><code>{escape(path)}</code> {tally.passed} passed, {tally.failed} failed, "
        f"{tally.skipped} skipped</dd>"
        for path, tally in each.tallies.items()
    )
    artefacts = ", ".join(f"<code>{escape(name)}</code>" for name in entry.artefacts)
    opened = " open" if each.finding is not Finding.SHOWN else ""
    return (
        f'<details class="run is-{kind}" id="{entry.id}"{opened}><summary>'
        f'<span class="dot {kind}">{mark}</span><code>{entry.id}</code>'
        f'<span class="what">{escape(entry.title)}</span>'
        f'<span class="at">{each.finding.value}</span></summary>'
        f'<div class="body"><dl><dt>answer</dt><dd>{escape(entry.answer)}</dd>{note}'
        f"<dt>artefacts</dt><dd>{artefacts}</dd><dt>tests</dt>{tests}</dl></div></details>\n"
    )
