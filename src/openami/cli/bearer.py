# SPDX-License-Identifier: Apache-2.0
"""`openami bearer list|show|relay`: link models, and one of them between two real processes."""

import asyncio
import json
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from openami.cli.ranges import FiniteRange
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.logs import set_up_logs
from openami.runtime.process import stop_event
from openami.transport.bearers.link import Link
from openami.transport.bearers.medium import HOUR_S, Medium, Way, seeded
from openami.transport.bearers.parameters import Bearer, Range, preset, presets, read_bearers
from openami.transport.bearers.relay import Between, Relay, relay_serial, relay_tcp, relay_udp
from openami.transport.bearers.sender import Flow, Sender
from openami.transport.url import ALL_SCHEMES, Scheme, Url

STREAMS: Final[frozenset[Scheme]] = frozenset({"tcp", "tls", "hdlc+tcp"})
DATAGRAMS: Final[frozenset[Scheme]] = frozenset({"udp", "dtls", "coap", "coaps"})
REQUEST_OCTETS: Final = 100  # a protected GET of one register, or its answer
IMAGE_OCTETS: Final = 220 * 1024  # the longest firmware image
BLOCK_OCTETS: Final = 1024
LOOK_S: Final = 0.5

FILE = click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Bearers of your own, in the shape of presets.toml.",
)
CHANGES = click.option(
    "--set",
    "changes",
    metavar="FIGURE=VALUE",
    multiple=True,
    help="Another figure, e.g. loss=0.1 or round_trip_s=[1,4]; may be repeated.",
)
SEED = click.option("--seed", default=0, show_default=True, help="Decides what is drawn.")
HOUR = click.option(
    "--hour",
    type=FiniteRange(0, 24),
    default=18.0,
    show_default=True,
    help="Hour of the day at the beginning, for bearers that are worst in the evening.",
)


@click.group()
def bearer() -> None:
    """Try what a slow, lossy or sleeping bearer does to a meter's data."""


@bearer.command("list")
@FILE
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON.")
def list_bearers(*, file: Path | None, as_json: bool) -> None:
    """List the bearers that there are."""
    known = presets() | (read_bearers(file) if file else {})
    if as_json:
        click.echo(json.dumps({name: asdict(each) for name, each in known.items()}, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("bearer", no_wrap=True)
    for title in ("kbit/s up", "round trip, s", "MTU", "loss, %"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("what")
    for name, each in known.items():
        table.add_row(
            name,
            _span(each.up_bit_s, 1e-3),
            _span(each.round_trip_s, 1),
            str(each.mtu_octets),
            _span(each.loss, 100),
            each.about,
        )
    Console().print(table)


@bearer.command()
@click.argument("name")
@FILE
@CHANGES
@SEED
@HOUR
def show(*, name: str, file: Path | None, changes: tuple[str, ...], seed: int, hour: float) -> None:
    """Show every figure of a bearer, where it comes from, and what it means for a meter."""
    found = _bearer(name, file, changes)
    console = Console()
    table = Table(box=None, pad_edge=False, title=f"{found.name}: {found.about}")
    for title in ("figure", "value", "from"):
        table.add_column(title)
    for each in fields(Bearer):
        if each.name in {"name", "about", "source", "from_memory"}:
            continue
        value = getattr(found, each.name)
        origin = "memory" if each.name in found.from_memory else ""
        shown = _span(value, 1) if isinstance(value, Range) else str(value)
        table.add_row(each.name, shown, "default" if value == each.default else origin)
    console.print(table)
    console.print(f"source: {found.source or 'none was read'}\n")
    exchanges = sorted(_exchange_s(found, seed + draw, hour) for draw in range(200))
    image_s = median(_stream_s(found, seed + draw, hour) for draw in range(5))
    often = quantiles(exchanges, n=20)
    console.print(
        f"a request of {REQUEST_OCTETS} octets and its answer: "
        f"{_duration(median(exchanges))}, one in twenty beyond {_duration(often[18])}"
    )
    console.print(f"an image of {IMAGE_OCTETS:,} octets to the device: {_duration(image_s)}")


@bearer.command()
@click.argument("name")
@click.argument("listen")
@click.argument("to")
@FILE
@CHANGES
@SEED
@HOUR
@click.option(
    "--speed",
    type=FiniteRange(0.001, 1e6),
    default=1.0,
    show_default=True,
    help="Seconds of the bearer in one real second.",
)
@click.option("--turned", is_flag=True, help="The device is at TO, and not who dials LISTEN.")
def relay(  # noqa: PLR0913  one parameter an option
    *,
    name: str,
    listen: str,
    to: str,
    file: Path | None,
    changes: tuple[str, ...],
    seed: int,
    hour: float,
    speed: float,
    turned: bool,
) -> None:
    """Stand between two processes: whoever dials LISTEN reaches TO, over the bearer NAME.

    Both addresses are of one kind: tcp://HOST:PORT, udp://HOST:PORT, or hdlc+serial:///PATH, where
    LISTEN becomes a link to a pseudo-terminal.  TLS and DTLS pass unread.
    """
    set_up_logs(verbose=False)
    found = _bearer(name, file, changes)
    front, behind = (
        Url.parse(text, place, ALL_SCHEMES) for text, place in ((listen, "LISTEN"), (to, "TO"))
    )
    between = Between(medium=Medium(found, seed, hour), turned=turned, speed=speed)
    asyncio.run(_run(front, behind, between))


async def _run(listen: Url, to: Url, between: Between) -> None:
    stop = stop_event()
    opened = await _open(listen, to, between)
    click.echo(f"listening on {opened.url}")
    console = Console()
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while not stop.is_set():
                if console.is_terminal:
                    live.update(Text(_counts(opened)), refresh=True)
                try:
                    await asyncio.wait_for(stop.wait(), LOOK_S)
                except TimeoutError:
                    continue
    finally:
        await opened.close()
    click.echo(_counts(opened))


async def _open(listen: Url, to: Url, between: Between) -> Relay:
    if listen.scheme in STREAMS and to.scheme in STREAMS:
        return await relay_tcp(listen, to, between)
    if listen.scheme in DATAGRAMS and to.scheme in DATAGRAMS:
        return await relay_udp(listen, to, between)
    if listen.scheme == to.scheme == "hdlc+serial":
        return relay_serial(Path(listen.path), Path(to.path), between)
    sentence = f"{listen} and {to} are of different kinds: give both as tcp, udp or hdlc+serial"
    raise UserError(sentence, ExitCode.ASKED_WRONGLY)


def _counts(relayed: Relay) -> str:
    """Return what has passed, in one line."""
    parts = [f"{len(relayed.counts)} flows"]
    for index, way in enumerate(("there", "back")):
        both = [flow[index] for flow in relayed.counts]
        parts.append(
            f"{way} {sum(each.packets for each in both):,} packets, "
            f"{sum(each.octets for each in both):,} octets, "
            f"{sum(each.repeated for each in both)} repeated, "
            f"{sum(each.lost for each in both)} lost"
        )
    return " · ".join(parts)


def _bearer(name: str, file: Path | None, changes: Iterable[str]) -> Bearer:
    own = read_bearers(file) if file else {}
    found = own.get(name) or preset(name)
    figures: dict[str, object] = {}
    for change in changes:
        figure, equals, text = change.partition("=")
        try:
            figures[figure.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            equals = ""
        if not equals:
            sentence = f"--set {change!r} is no figure: write FIGURE=VALUE, e.g. loss=0.1"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return found.with_figures(figures, "--set")


def _exchange_s(found: Bearer, seed: int, hour: float) -> float:
    """Return how long a request and its answer take, at any moment of a first day."""
    link = Link(Medium(found, seed, hour))
    begin_s = 24 * HOUR_S * seeded(f"{seed} begin").random()
    asked_s = _last_s(Sender(link, Way.DOWN, Flow.STREAM), REQUEST_OCTETS, begin_s)
    return _last_s(Sender(link, Way.UP, Flow.STREAM), REQUEST_OCTETS, asked_s) - begin_s


def _stream_s(found: Bearer, seed: int, hour: float) -> float:
    """Return how long an image takes, block after block, each answered before the next."""
    link = Link(Medium(found, seed, hour))
    begin_s = now_s = 24.0 * HOUR_S
    down, up = Sender(link, Way.DOWN, Flow.STREAM), Sender(link, Way.UP, Flow.STREAM)
    for _ in range(0, IMAGE_OCTETS, BLOCK_OCTETS):
        now_s = _last_s(down, BLOCK_OCTETS + 60, now_s)
        now_s = _last_s(up, 60, now_s)
    return now_s - begin_s


def _last_s(sender: Sender, octets: int, now_s: float) -> float:
    """Return when the last of so many octets arrives."""
    sender.step(now_s)
    sender.put(bytes(octets))
    while (due_s := sender.due_s()) is not None:
        now_s = max(now_s, due_s)
        sender.step(now_s)
    return now_s


def _span(span: Range, factor: float) -> str:
    low, high = span.low * factor, span.high * factor
    return f"{low:,.6g}" if low == high else f"{low:,.6g} to {high:,.6g}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    if seconds < 2 * 60:
        return f"{seconds:.3g} s"
    minutes, _ = divmod(seconds, 60)
    return f"{int(minutes)} min" if minutes < 120 else f"{minutes / 60:.3g} h"
