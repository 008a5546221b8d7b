# SPDX-License-Identifier: Apache-2.0
"""`openami read`: read attributes of any DLMS meter, once, and print them."""

import asyncio
import csv
import io
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import click

from openami.cli.read_options import MECHANISMS, ReadOptions, refusal
from openami.cli.readings import Period, Reader, Reading, Table, Target, said
from openami.cosem.client import ClientParameters
from openami.cosem.measurement import Data
from openami.cosem.refusals import ExceptionResponseError
from openami.dlms.errors import DlmsError
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import PUBLIC_CLIENT
from openami.dlms.security.counters import EXHAUSTED, CounterBlock
from openami.runtime.errors import ExitCode, UserError
from openami.transport.client import OpenSession, open_session
from openami.transport.session import SessionTimeoutError
from openami.transport.tls import Secured
from openami.transport.url import ALL_SCHEMES, Url

FRAME_COUNTER: Final = Obis(0, 0, 43, 1, 0, 255)


@click.command()
@click.argument("url")
@click.argument("objects", metavar="OBIS[:ATTRIBUTE]...", nargs=-1, required=True)
@click.option("--client", help="Client SAP.  [16 public, 32 with a secret, 1 with keys]")
@click.option("--server", help="Server SAP.  [1]")
@click.option("--mechanism", help=f"{', '.join(MECHANISMS)}.  [follows from client and secrets]")
@click.option("--secret", help="LLS password: text, or hex after 0x.")
@click.option("--guek", help="Global unicast encryption key, 32 hex digits.")
@click.option("--gak", help="Authentication key, 32 hex digits.")
@click.option("--title", help="Our system title, 16 hex digits.  [the certificate's]")
@click.option("--peer-title", help="The meter's system title: no other may answer.")
@click.option("--ca", help="tls://: certificate of the authority (PEM).")
@click.option("--cert", help="tls://: our certificate (PEM).")
@click.option("--key", help="tls://: our private key (PEM).")
@click.option("--keys", help="A meter's keys.json: gives secret, keys and peer title.")
@click.option("--counter", help="First invocation counter.  [the meter is asked]")
@click.option("--timeout", help="Seconds for the connection and for each answer.  [10]")
@click.option("--server-address", metavar="L/P", help="hdlc: logical and physical address.")
@click.option("--address-size", help="hdlc: octets of server addresses.  [the smallest]")
@click.option("--window", help="hdlc: most frames without a pause.  [7]")
@click.option("--max-info", help="hdlc: most octets of information in a frame.  [2030]")
@click.option("--baud", help="hdlc+serial: speed of the line.  [9600]")
@click.option("--mode-e", help="hdlc+serial: open at 300 baud as an optical port, yes or no.  [no]")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with these options by name; keeps secrets off the command line.",
)
@click.option("--class", "class_id", type=click.IntRange(0, 0xFFFF), help="[from the object list]")
@click.option("--attribute", type=click.IntRange(1, 127), default=2, show_default=True)
@click.option("--from", "start", metavar="TIME", help="Profiles: first row, ISO 8601, UTC.")
@click.option("--to", "end", metavar="TIME", help="Profiles: last row.")
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
    form: str | None,
    **given: str | None,
) -> int:
    """Read attributes of a meter at URL.

    URL is tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, hdlc+tcp://HOST:PORT or
    hdlc+serial:///dev/ttyUSB0.

    \b
    openami read tcp://127.0.0.1:4059 0.0.1.0.0.255
    openami read tcp://127.0.0.1:4059 --client 32 --keys keys.json 1.0.1.8.0.255
    openami read tcp://127.0.0.1:4059 --client 1 --keys keys.json 1.0.99.1.0.255 --from 2026-03-01
    openami read hdlc+serial:///dev/ttyUSB0 --mode-e yes --server-address 1/17 0.0.1.0.0.255
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    logging.getLogger("openami").addHandler(logging.NullHandler())  # refusals are sentences below
    address = Url.parse(url, "the address", ALL_SCHEMES)
    options = ReadOptions.gather(given, config)
    targets = [Target.parse(text, attribute, class_id) for text in objects]
    period = _period(start, end)
    secured = options.secured(address)
    found, refused = asyncio.run(_read_all(address, options, secured, targets, period))
    click.echo(render(found, form or "text"), nl=False)
    for sentence in refused:
        click.echo(f"openami: {sentence}", err=True)
    return int(ExitCode.REFUSED) if refused else int(ExitCode.DONE)


Answers = Sequence[Reading | Table]


async def _read_all(
    url: Url,
    options: ReadOptions,
    secured: Secured | None,
    targets: Sequence[Target],
    period: Period,
) -> tuple[Answers, Sequence[str]]:
    """Read every target; return what was read, and a sentence for each that was refused."""
    parameters = options.parameters(secured.tls.own.title if secured else None)
    counters = await _counters(url, options, secured, parameters)
    try:
        try:
            return await _read_once(url, parameters, secured, counters, (options, targets, period))
        except ExceptionResponseError as error:
            if error.invocation_counter is None or counters is None:
                raise
            # The meter tells which counter it expects: one more attempt with that.
            counters = CounterBlock(error.invocation_counter, EXHAUSTED)
            return await _read_once(url, parameters, secured, counters, (options, targets, period))
    except DlmsError as error:
        raise refusal(url, error) from error
    except SessionTimeoutError as error:
        raise UserError(f"{error} (--timeout)") from error


async def _read_once(
    url: Url,
    parameters: ClientParameters,
    secured: Secured | None,
    counters: CounterBlock | None,
    wanted: tuple[ReadOptions, Sequence[Target], Period],
) -> tuple[Answers, Sequence[str]]:
    options, targets, period = wanted
    found: list[Reading | Table] = []
    refused: list[str] = []
    async with open_session(
        url,
        parameters,
        secured=secured,
        counters=counters,
        timeout_s=options.timeout,
        hdlc=options.hdlc(),
    ) as meter:
        reader = Reader(meter.client, f"client {parameters.client_sap}")
        for target in targets:
            try:
                found.append(await meter.run(reader.read(target, period)))
            except (DlmsError, UserError) as error:
                if not _goes_on(meter, error):
                    raise
                refused.append(f"{url}: {error}")
    return found, refused


def _goes_on(meter: OpenSession, error: Exception) -> bool:
    """Tell whether the next target can still be read after this refusal."""
    lost_count = isinstance(error, ExceptionResponseError) and error.invocation_counter is not None
    return meter.session.is_open and meter.wire.is_open and not lost_count


async def _counters(
    url: Url, options: ReadOptions, secured: Secured | None, parameters: ClientParameters
) -> CounterBlock | None:
    """Return our invocation counters: as told, or as the meter tells its public client."""
    if parameters.mechanism is not Mechanism.HLS_GMAC:
        return None
    if options.counter is not None:
        return CounterBlock(options.counter, EXHAUSTED)
    public = ClientParameters(client_sap=PUBLIC_CLIENT, server_sap=parameters.server_sap)
    first = 1
    try:
        async with open_session(
            url, public, secured=secured, timeout_s=options.timeout, hdlc=options.hdlc()
        ) as meter:
            value = await meter.run(meter.client.get(Data.value, at=FRAME_COUNTER))
            if isinstance(value, int) and 0 <= value < EXHAUSTED:
                first = int(value) + 1
    except (DlmsError, SessionTimeoutError):
        pass  # a meter that keeps it to itself may still tell it when it refuses ours
    return CounterBlock(first, EXHAUSTED)


def _period(start: str | None, end: str | None) -> Period:
    first, last = _moment("--from", start), _moment("--to", end)
    if first is not None and last is not None and last < first:
        sentence = f"--from {start} is later than --to {end}: exchange them"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return Period(first, last)


def _moment(place: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        sentence = f"{place} {text!r} is no time: write 2026-03-01 or 2026-03-01T12:30:00+01:00"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def render(found: Answers, form: str) -> str:
    """Return what was read as text, JSON or CSV, each with its last line ended."""
    match form:
        case "json":
            return json.dumps([_json(each) for each in found], indent=1, ensure_ascii=False) + "\n"
        case "csv":
            return _csv(found)
        case _:
            return "".join(line + "\n" for each in found for line in _lines(each))


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
            return head | {"value": found.value, "unit": found.unit}


def _csv(found: Answers) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for each in found:
        if isinstance(each, Table):
            writer.writerow(each.columns)
            writer.writerows(each.rows)
        else:
            writer.writerow([str(each.place.obis), said(each.value), each.unit])
    return out.getvalue()


def _lines(found: Reading | Table) -> Iterator[str]:
    """Yield a reading on one line, or a table with its columns aligned."""
    if isinstance(found, Reading):
        yield f"{found.place.obis}  {found.text}"
        return
    cells = [list(found.columns), *([said(cell) for cell in row] for row in found.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = [str.ljust if heading == "name" else str.rjust for heading in found.columns]
    for row in cells:
        columns = zip(sides, row, widths, strict=True)
        aligned = (side(cell, width) for side, cell, width in columns)
        yield "  ".join(aligned).rstrip()
    yield f"{len(found.rows)} rows"
