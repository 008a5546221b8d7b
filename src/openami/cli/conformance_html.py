# SPDX-License-Identifier: Apache-2.0
"""The HTML report of a conformance run: one file, no script, nothing fetched from elsewhere.

A picture first: a square for each case at each association, by group.  Below it each case with
what was sent, what the clause accepts, what came, and the transcript in words.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

from openami.cosem.conformance.case import Group, Verdict

MARKS: Final = {
    Verdict.PASS.value: ("pass", "✓"),
    Verdict.FAIL.value: ("fail", "✕"),
    Verdict.INCONCLUSIVE.value: ("open", "?"),
    Verdict.NOT_APPLICABLE.value: ("none", "–"),
}

STYLE: Final = """
:root { color-scheme: light dark; --page: #fbfbfa; --ink: #1c2326; --soft: #5c676b;
  --line: #dfe3e3; --panel: #fff; --accent: #0d8a80; --pass: #0072b2; --fail: #c2371f;
  --open: #e69f00; --none: #aab3b5; --code: #f3f5f5; }
@media (prefers-color-scheme: dark) { :root { --page: #14191b; --ink: #e6eaea; --soft: #9aa6a9;
  --line: #2c3437; --panel: #1b2124; --accent: #4cc4b8; --pass: #56a8dd; --fail: #f0735b;
  --open: #f0b429; --none: #566165; --code: #101517; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 14px/20px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 24px 64px; }
h1 { font-size: 24px; line-height: 32px; margin: 0; font-weight: 600; }
h2 { font-size: 16px; line-height: 24px; margin: 32px 0 8px; font-weight: 600; }
.under { color: var(--soft); margin: 4px 0 16px; }
.counts { display: flex; gap: 8px; flex-wrap: wrap; margin: 16px 0; }
.counts label { display: flex; align-items: baseline; gap: 8px; padding: 8px 12px;
  background: var(--panel); border: 1px solid var(--line); border-radius: 8px; cursor: pointer; }
.counts b { font-size: 20px; line-height: 24px; font-weight: 600; }
.counts input { position: absolute; opacity: 0; }
.counts label:has(:checked) { border-color: var(--accent);
  box-shadow: inset 0 0 0 1px var(--accent); }
.counts label:has(:focus-visible) { outline: 2px solid var(--accent); outline-offset: 2px; }
.dot, .cell { display: inline-block; border-radius: 3px; text-align: center; color: #fff; }
.dot { width: 16px; height: 16px; font-size: 11px; line-height: 16px; flex: none; }
.pass { background: var(--pass); } .fail { background: var(--fail); }
.open { background: var(--open); color: #1c2326; }
.none { background: transparent; box-shadow: inset 0 0 0 1px var(--none); color: var(--soft); }
.matrix { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px 16px; }
.matrix table { border-collapse: collapse; width: 100%; }
.matrix th { text-align: left; font-weight: 400; color: var(--soft); padding: 4px 12px 4px 0;
  white-space: nowrap; vertical-align: top; }
.matrix th.group { color: var(--ink); font-weight: 600; }
.matrix td { padding: 4px 0; width: 100%; }
.matrix td.sum { width: auto; white-space: nowrap; color: var(--soft); padding-left: 12px;
  text-align: right; vertical-align: top; }
.matrix td.quiet { color: var(--soft); }
.matrix tr.first > * { border-top: 1px solid var(--line); padding-top: 8px; }
.matrix tr:first-child > * { border-top: 0; padding-top: 4px; }
.cells { display: flex; flex-wrap: wrap; gap: 4px; }
.cell { width: 16px; height: 16px; font-size: 11px; line-height: 16px; text-decoration: none; }
.cell:hover, .cell:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
details.run { background: var(--panel); border: 1px solid var(--line); border-top: 0; }
.runs { border-top: 1px solid var(--line); border-radius: 8px; }
details.run > summary { display: grid; grid-template-columns: 16px 250px 1fr 96px; gap: 12px;
  padding: 6px 12px; cursor: pointer; list-style: none; align-items: start; }
details.run > summary::-webkit-details-marker { display: none; }
details.run > summary:hover { background: var(--code); }
details.run:target { box-shadow: inset 2px 0 0 var(--accent); }
summary code { overflow-wrap: anywhere; }
summary .why { color: var(--soft); display: block; }
summary .at { color: var(--soft); text-align: right; }
.dot.pass, .dot.fail, .dot.open, .dot.none { margin-top: 2px; }
code, pre { font: 12px/18px ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.body { padding: 4px 12px 12px 40px; }
dl { display: grid; grid-template-columns: 80px 1fr; gap: 2px 12px; margin: 0 0 8px; }
dt { color: var(--soft); } dd { margin: 0; }
table.script { border-collapse: collapse; width: 100%; table-layout: fixed; }
table.script td { border-top: 1px solid var(--line); padding: 4px 8px 4px 0; vertical-align: top; }
table.script td:first-child { width: 72px; color: var(--soft); }
table.script pre { margin: 4px 0 0; white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--code); padding: 4px 8px; border-radius: 4px; max-height: 280px;
  overflow: auto; }
table.script code { overflow-wrap: anywhere; }
footer { color: var(--soft); margin-top: 32px; }
body:has(#show-pass:checked) details.run:not(.is-pass),
body:has(#show-fail:checked) details.run:not(.is-fail),
body:has(#show-open:checked) details.run:not(.is-open),
body:has(#show-none:checked) details.run:not(.is-none) { display: none; }
@media (max-width: 760px) { details.run > summary { grid-template-columns: 16px 1fr; }
  summary .at, summary .what { grid-column: 2; text-align: left; } main { padding: 16px; } }
"""


def page(report: dict[str, Any]) -> str:
    """Return the report as one HTML document."""
    results = report["results"]
    return "".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<title>Conformance of {escape(report['meter'])}</title>\n",
            f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
            *_head(report),
            *_matrix(results),
            *(part for group in Group for part in _group(group.value, results)),
            "<footer>Cases after the abstract test suites of the DLMS UA, in our own words. This ",
            "report is no certificate: only the DLMS UA certifies.</footer>\n",
            "</main>\n</body>\n</html>\n",
        ]
    )


def _head(report: dict[str, Any]) -> Iterator[str]:
    summary = report["summary"]
    yield f"<h1>Conformance of {escape(report['meter'])}</h1>\n"
    began, ended = escape(report["began"]), escape(report["ended"])
    yield f'<p class="under"><code>{escape(report["url"])}</code> · <time>{began}</time> to '
    yield f"<time>{ended}</time></p>\n"
    yield '<div class="counts" role="radiogroup" aria-label="Show">\n'
    yield '<label><input type="radio" name="show" id="show-all" checked>'
    yield f"<b>{len(report['results'])}</b> all</label>\n"
    for verdict, (kind, mark) in MARKS.items():
        yield f'<label><input type="radio" name="show" id="show-{kind}">'
        yield f'<span class="dot {kind}">{mark}</span><b>{summary[verdict]}</b> '
        yield f"{verdict.lower()}</label>\n"
    yield "</div>\n"


def _matrix(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the picture: a row for each group and association, a square for each case."""
    yield '<div class="matrix"><table>\n'
    for group in Group:
        mine = [each for each in results if each["group"] == group.value]
        for number, name in enumerate(dict.fromkeys(each["association"] for each in mine)):
            row = [each for each in mine if each["association"] == name]
            first = ' class="first"' if number == 0 else ""
            heading = escape(group.value) if number == 0 else ""
            passed = sum(each["verdict"] == Verdict.PASS.value for each in row)
            asked = sum(each["verdict"] != Verdict.NOT_APPLICABLE.value for each in row)
            yield f'<tr{first}><th class="group">{heading}</th><th>{escape(name)}</th>'
            if not asked:
                yield f'<td class="quiet">not claimed: {len(row)} cases</td><td></td></tr>\n'
                continue
            yield f'<td><div class="cells">{"".join(map(_cell, row))}</div></td>'
            yield f'<td class="sum">{passed} of {asked}</td></tr>\n'
    yield "</table></div>\n"


def _cell(result: dict[str, Any]) -> str:
    kind, mark = MARKS[result["verdict"]]
    words = escape(f"{result['case']}: {result['verdict']}. {result['title']}", quote=True)
    return f'<a class="cell {kind}" href="#{anchor(result)}" title="{words}">{mark}</a>'


def anchor(result: dict[str, Any]) -> str:
    """Return where a result stands in the page."""
    return escape(result["key"].replace("/", "-at-"), quote=True)


def _group(name: str, results: list[dict[str, Any]]) -> Iterator[str]:
    mine = [each for each in results if each["group"] == name]
    if not mine:
        return
    yield f'<h2>{escape(name)}</h2>\n<div class="runs">\n'
    # What needs a look stands first.
    order = [Verdict.FAIL.value, Verdict.INCONCLUSIVE.value]
    for verdict in order:
        yield from (_run(each) for each in mine if each["verdict"] == verdict)
    yield from (_run(each) for each in mine if each["verdict"] not in order)
    yield "</div>\n"


def _run(result: dict[str, Any]) -> str:
    kind, mark = MARKS[result["verdict"]]
    shown = " open" if result["verdict"] == Verdict.FAIL.value else ""
    return "".join(
        [
            f'<details class="run is-{kind}" id="{anchor(result)}"{shown}><summary>',
            f'<span class="dot {kind}" title="{result["verdict"]}">{mark}</span>',
            f"<code>{escape(result['case'])}</code>",
            f'<span class="what">{escape(result["title"])}',
            f'<span class="why">{escape(result["reason"])}</span></span>',
            f'<span class="at">{escape(result["association"])}</span></summary>\n',
            '<div class="body"><dl>',
            *_terms(result),
            "</dl>",
            _script(result["transcript"]),
            "</div></details>\n",
        ]
    )


def _terms(result: dict[str, Any]) -> Iterable[str]:
    rows = [
        ("verdict", result["verdict"]),
        ("steps", result["steps"]),
        ("accepted", result["accepts"]),
        ("clause", result["clause"]),
        *(("remark", each) for each in result["remarks"]),
    ]
    return (f"<dt>{term}</dt><dd>{escape(text)}</dd>" for term, text in rows)


def _script(lines: list[dict[str, str]]) -> str:
    if not lines:
        return ""
    rows = []
    for line in lines:
        octets = f"<code>{escape(line['octets'])}</code>" if "octets" in line else ""
        words = f"<pre>{escape(line['words'])}</pre>" if line.get("words") else ""
        said = escape(line.get("text", ""))
        rows.append(f"<tr><td>{line['kind']}</td><td>{said}{octets}{words}</td></tr>")
    return f'<table class="script">{"".join(rows)}</table>'
