# SPDX-License-Identifier: Apache-2.0
"""`openami read`: read attributes of any DLMS meter, once, and print them."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import click

from openami.cli.connecting import Meter, Work, run_with_meter
from openami.cli.meter_options import meter_options
from openami.cli.places import VALUE, Target
from openami.cli.progress import Bar, bar, counted
from openami.cli.readings import Period, Reader, Reading, Table, said
from openami.cli.values import moment
from openami.cosem.obis_names import describe
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.runtime.errors import ExitCode, UserError


@click.command()
@click.argument("url")
@click.argument("objects", metavar="OBIS[:ATTRIBUTE]...", nargs=-1, required=True)
@meter_options
@click.option("--class", "class_id", type=click.IntRange(0, 0xFFFF), help="[from the object list]")
@click.option("--attribute", type=click.IntRange(1, 127), default=2, show_default=True)
@click.option("--from", "start", metavar="TIME", help="Profiles: first row, ISO 8601, UTC.")
@click.option("--to", "end", metavar="TIME", help="Profiles: last row.")
@click.option("--names", is_flag=True, help="Say in words what each object is.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV.")
def read(  # noqa: PLR0913  one parameter an option
    *,
    url: str,
    objects: tuple[str, ...],
    config: Path | None,
    class_id: int | None,
    attribute: int,
    start: str | None,
    end: str | None,
    names: bool,
    form: str | None,
    **given: str | None,
) -> int:
    """Read attributes of a meter at URL.

    URL is tcp, tls, udp, dtls, coap, coaps or hdlc+tcp://HOST:PORT, or
    hdlc+serial:///dev/ttyUSB0.

    ATTRIBUTE is a number, a name such as scaler_unit, or all.

    \b
    openami read tcp://127.0.0.1:4059 0.0.1.0.0.255
    openami read tcp://127.0.0.1:4059 0.0.1.0.0.255:time_zone 0.0.1.0.0.255:all
    openami read tcp://127.0.0.1:4059 --client 32 --keys keys.json 1.0.1.8.0.255
    openami read tcp://127.0.0.1:4059 --client 1 --keys keys.json 1.0.99.1.0.255 --from 2026-03-01
    openami read hdlc+serial:///dev/ttyUSB0 --mode-e yes --server-address 1/17 0.0.1.0.0.255
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    meter = Meter.gather(url, given, config)
    targets = [Target.parse(text, attribute, class_id) for text in objects]
    period = _period(start, end)
    with bar() as shown:
        found, refused = run_with_meter(meter, lambda work: _read(work, targets, period, shown))
    click.echo(render(found, form or "text", names=names), nl=False)
    for sentence in refused:
        click.echo(f"openami: {sentence}", err=True)
    return int(ExitCode.REFUSED) if refused else int(ExitCode.DONE)


LEFT = frozenset({"name", "value"})
"""Headings of columns that hold words."""

Answers = Sequence[Reading | Table]


async def _read(
    work: Work, targets: Sequence[Target], period: Period, shown: Bar
) -> tuple[Answers, Sequence[str]]:
    """Read every target; return what was read, and a sentence for each that was refused."""
    found: list[Reading | Table] = []
    refused: list[str] = []
    reader = Reader(work.session.client, work.meter.client_name)
    for number, target in enumerate(targets):

        def tell(octets: int, number: int = number, target: Target = target) -> None:
            total = len(targets) if len(targets) > 1 else None
            shown.at(number, total, f"{target.obis}  {octets:,} octets")

        try:
            found.append(await work.run(counted(reader.read(target, period), tell)))
        except (DlmsError, UserError) as error:
            if not work.goes_on(error):
                raise
            refused.append(f"{work.meter.url}: {error}")
    return found, refused


def _period(start: str | None, end: str | None) -> Period:
    first, last = moment("--from", start), moment("--to", end)
    if first is not None and last is not None and last < first:
        sentence = f"--from {start} is later than --to {end}: exchange them"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return Period(first, last)


def render(found: Answers, form: str, *, names: bool = False) -> str:
    """Return what was read as text, JSON or CSV, each with its last line ended."""
    match form:
        case "json":
            return json.dumps([_json(each) for each in found], indent=1, ensure_ascii=False) + "\n"
        case "csv":
            return _csv(found)
        case _:
            often = _often(found)
            return "".join(
                line + "\n" for each in found for line in _lines(each, often, names=names)
            )


def _often(found: Answers) -> frozenset[Obis]:
    """Return the objects of which several attributes were read: each is named, then."""
    names = [each.place.obis for each in found if isinstance(each, Reading)]
    return frozenset(name for name in names if names.count(name) > 1)


def _label(found: Reading, often: frozenset[Obis]) -> str:
    if found.place.obis not in often or found.place.attribute == VALUE:
        return str(found.place.obis)
    return f"{found.place.obis}:{found.row or found.place.attribute}"


def _json(found: Reading | Table) -> dict[str, object]:
    head: dict[str, object] = {
        "obis": str(found.place.obis),
        "class_id": found.place.class_id,
        "attribute": found.place.attribute,
    }
    match found:
        case Table():
            return head | {
                "columns": list(found.columns),
                "rows": [list(row) for row in found.rows],
            }
        case Reading(value=Decimal() as value):
            whole = value == value.to_integral_value()
            number = int(value) if whole else float(value)
            return head | {"value": number, "unit": found.unit}
        case _:
            words = {"words": found.words} if found.words else {}
            return head | {"value": found.value, "unit": found.unit} | words


def _csv(found: Answers) -> str:
    out, often = io.StringIO(), _often(found)
    writer = csv.writer(out, lineterminator="\n")
    for each in found:
        if isinstance(each, Table):
            writer.writerow(each.columns)
            writer.writerows(each.rows)
        else:
            writer.writerow([_label(each, often), said(each.value), each.unit])
    return out.getvalue()


def _lines(found: Reading | Table, often: frozenset[Obis], *, names: bool) -> Iterator[str]:
    """Yield a reading on one line, or a table with its columns aligned."""
    words = f"  {describe(found.place.obis)}" if names else ""
    if isinstance(found, Reading):
        yield f"{_label(found, often)}  {found.text}{words}"
        return
    if names:
        yield f"{found.place.obis}{words}"
    cells = [list(found.columns), *([said(cell) for cell in row] for row in found.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = [str.ljust if heading in LEFT else str.rjust for heading in found.columns]
    for row in cells:
        columns = zip(sides, row, widths, strict=True)
        aligned = (side(cell, width) for side, cell, width in columns)
        yield "  ".join(aligned).rstrip()
    yield f"{len(found.rows)} row{'' if len(found.rows) == 1 else 's'}"
