# SPDX-License-Identifier: Apache-2.0
"""`openami scan`: which servers, clients, logical devices and objects there are at an address."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from openami.cli.connecting import INTERRUPTED, Meter, Stop, Work, with_meter
from openami.cli.dumping import Dumper
from openami.cli.meter_options import meter_options
from openami.cli.places import Objects
from openami.cli.progress import Bar, bar
from openami.cli.ranges import FiniteRange
from openami.cli.scanning import (
    CLIENTS,
    MODE_E_S,
    Address,
    Answer,
    addresses,
    find_clients,
    find_servers,
    numbers,
)
from openami.cosem.access_modes import access_of, invokes
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION, ObjectListElement
from openami.cosem.model import Access, declared
from openami.cosem.obis_names import describe
from openami.runtime.errors import ExitCode, UserError

HDLC = frozenset({"hdlc+tcp", "hdlc+serial"})


@dataclass(slots=True)
class Found:
    """What a scan found."""

    servers: list[Address] = field(default_factory=list)
    refusing: list[Address] = field(default_factory=list)
    clients: list[Answer] = field(default_factory=list)
    listed_by: int | None = None
    devices: dict[int, str] = field(default_factory=dict)
    version: int = 1
    objects: Sequence[ObjectListElement] = ()
    ended: str = ""


@click.command()
@click.argument("url")
@click.option("--clients", help="Client SAPs to try, such as 1,16-20.  [those of the field]")
@click.option("--logical", default="1", show_default=True, help="hdlc: logical addresses to call.")
@click.option(
    "--physical",
    default="1,16-18,127",
    show_default=True,
    help="hdlc: physical addresses to call.",
)
@click.option("--sizes", default="1,2,4", show_default=True, help="hdlc: sizes of addresses.")
@click.option(
    "--probe-timeout",
    type=FiniteRange(0.05, 60),
    default=1.0,
    show_default=True,
    help="Seconds to wait for each answer.",
)
@click.option("--no-objects", is_flag=True, help="List no objects.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@meter_options
def scan(  # noqa: PLR0913  one parameter an option
    *,
    url: str,
    clients: str | None,
    logical: str,
    physical: str,
    sizes: str,
    probe_timeout: float,
    no_objects: bool,
    as_json: bool,
    config: Path | None,
    **given: str | None,
) -> int:
    """Find out what answers at URL, and list the objects that a client sees.

    On HDLC each server address is called first.  Then each client SAP is tried without a secret;
    that it is refused for want of one says that it is there.  Objects are listed for the client
    that the options make us, or for one that needs no secret.

    \b
    openami scan tcp://127.0.0.1:4059
    openami scan tcp://127.0.0.1:4059 --keys keys.json
    openami scan hdlc+serial:///dev/ttyUSB0 --mode-e yes --physical 16-32 --sizes 4
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    meter = Meter.gather(url, given, config)
    tried = numbers("--clients", clients, 0xFFFF) if clients else list(CLIENTS)
    asked = set(sized := numbers("--sizes", sizes, 4))
    if not asked <= {1, 2, 4}:
        raise UserError(f"--sizes {sizes!r} must be of 1, 2 and 4", ExitCode.ASKED_WRONGLY)
    candidates = list(
        addresses(
            sized,
            numbers("--logical", logical, 0x3FFF),
            numbers("--physical", physical, 0x3FFF),
        )
    )
    with bar() as shown:
        found = asyncio.run(_scan(meter, tried, candidates, (probe_timeout, not no_objects), shown))
    click.echo(json.dumps(_json(found), indent=1, ensure_ascii=False) if as_json else _text(found))
    if found.ended:
        click.echo(f"openami: {meter.url}: {found.ended}", err=True)
    if found.ended == "interrupted":
        return INTERRUPTED
    answered = (
        found.servers
        or found.refusing
        or found.objects
        or any(each.is_known for each in found.clients)
    )
    return int(ExitCode.DONE if answered else ExitCode.REFUSED)


async def _scan(
    meter: Meter,
    clients: Sequence[int],
    candidates: Sequence[Address],
    how: tuple[float, bool],
    shown: Bar,
) -> Found:
    timeout_s, lists = how
    found, stop = Found(), Stop()
    with stop.listening():
        if meter.url.scheme in HDLC and meter.options.server_address is None:
            called = await find_servers(meter, candidates, timeout_s, stop, shown.at)
            found.servers, found.refusing = called.linking, called.refusing
            if not found.servers:
                found.ended = "interrupted" if stop.asked else "no server address opened a link"
                return found
            meter = _at(meter, found.servers[0])
        if meter.options.mode_e:
            timeout_s += MODE_E_S
        found.clients = await find_clients(meter, clients, timeout_s, stop, shown.at)
        if lists and not stop.asked:
            await _list(meter, found, stop)
        if stop.asked:
            found.ended = "interrupted"
    return found


def _at(meter: Meter, address: Address) -> Meter:
    """Return the same meter at a server address that answered."""
    options = replace(
        meter.options,
        server_address=(address.logical, address.physical),
        address_size=address.octets,
    )
    return replace(
        meter,
        options=options,
        parameters=replace(meter.parameters, server_sap=address.logical),
    )


async def _list(meter: Meter, found: Found, stop: Stop) -> None:
    """List objects as the client that we are told to be, or as one that needs no secret."""
    if meter.options.client is None and meter.parameters.cipher is None:
        open_ones = [each.client for each in found.clients if each.is_open]
        if not meter.parameters.secret and not open_ones:
            found.ended = "no client associates without a secret: give --client, --keys or --secret"
            return
        if not meter.parameters.secret:
            meter = replace(meter, parameters=replace(meter.parameters, client_sap=open_ones[0]))

    async def listed(work: Work) -> None:
        client = work.session.client
        found.devices = await Dumper(work).devices()
        found.objects = await work.run(Objects(client, meter.client_name).elements())
        found.listed_by = meter.parameters.client_sap

    try:
        await with_meter(meter, listed, stop)
    except UserError as error:
        found.ended = str(error)
    own = (e.version for e in found.objects if e.logical_name == CURRENT_ASSOCIATION)
    found.version = next(own, 1)


def _text(found: Found) -> str:
    return "\n".join(_lines(found))


def _lines(found: Found) -> Iterator[str]:
    if found.servers or found.refusing:
        yield "servers"
        yield from (f"  {each}: {each.options}" for each in found.servers)
        yield from (f"  {each}: is there and refuses the link" for each in found.refusing)
    yield "clients"
    known = [each for each in found.clients if each.is_known]
    yield from (f"  {each.client:>5}  {each.words}" for each in known)
    others = [str(each.client) for each in found.clients if not each.is_known]
    if others:
        yield f"  not known or silent: {', '.join(others)}"
    if found.devices:
        yield "logical devices"
        yield from (f"  {sap:>5}  {name}" for sap, name in found.devices.items())
    if found.listed_by is None:
        return
    yield f"objects that client {found.listed_by} sees (r read, w write, x invoke)"
    for each in sorted(found.objects, key=lambda element: element.logical_name):
        table = declared(each.class_id, each.version)
        title = f"{each.class_id} {table.__name__ if table else '?'} v{each.version}"
        rights = "  ".join(f"{letter} {rows}" for letter, rows in _rights(each, found.version))
        yield f"  {each.logical_name!s:<16} {title:<26} {rights}".rstrip()
    yield f"{len(found.objects)} objects"


def _rights(element: ObjectListElement, version: int) -> Iterator[tuple[str, str]]:
    attributes = [
        (row.attribute_id, access_of(row.access_mode, version))
        for row in element.access_rights.attributes
    ]
    methods = [
        row.method_id for row in element.access_rights.methods if invokes(row.access_mode, version)
    ]
    read = [index for index, access in attributes if access & Access.READ]
    write = [index for index, access in attributes if access & Access.WRITE]
    for letter, rows in (("r", read), ("w", write), ("x", methods)):
        if rows:
            yield letter, spans(rows)


def spans(rows: Iterable[int]) -> str:
    """Return numbers with neighbours drawn together, ``1-4,7``."""
    parts: list[list[int]] = []
    for row in sorted(rows):
        if parts and row == parts[-1][-1] + 1:
            parts[-1].append(row)
        else:
            parts.append([row])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _json(found: Found) -> dict[str, Any]:
    objects = []
    for each in found.objects:
        table = declared(each.class_id, each.version)
        objects.append(
            {
                "obis": str(each.logical_name),
                "name": describe(each.logical_name),
                "class": each.class_id,
                "version": each.version,
                "class_name": table.__name__ if table else "not declared",
                "attributes": {
                    str(row.attribute_id): row.access_mode for row in each.access_rights.attributes
                },
                "methods": {
                    str(row.method_id): row.access_mode for row in each.access_rights.methods
                },
            }
        )
    return {
        "servers": [
            {"octets": each.octets, "logical": each.logical, "physical": each.physical}
            for each in found.servers
        ],
        "refusing": [
            {"octets": each.octets, "logical": each.logical, "physical": each.physical}
            for each in found.refusing
        ],
        "clients": [
            {
                "client": each.client,
                "known": each.is_known,
                "open": each.is_open,
                "answer": each.words,
            }
            for each in found.clients
        ],
        "logical_devices": {str(sap): name for sap, name in found.devices.items()},
        "listed_by": found.listed_by,
        "association_version": found.version,
        "objects": objects,
    }
