# SPDX-License-Identifier: Apache-2.0
"""`openami write`: set one attribute of any DLMS meter, typed by its class."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from openami.cli.connecting import Meter, Work, run_with_meter
from openami.cli.meter_options import meter_options
from openami.cli.places import Objects, Place, Target
from openami.cli.values import by_class, given_type, shown
from openami.cosem.asking.association import Steps
from openami.cosem.choices import RAW
from openami.cosem.client import Client
from openami.cosem.kinds import Kind
from openami.cosem.literals import to_typed
from openami.cosem.model import Attribute
from openami.cosem.refusals import AccessError
from openami.dlms import data as axdr_data
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.apdu.set import SetRequestNormal
from openami.dlms.data import Data
from openami.runtime.errors import ExitCode, UserError


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be written where, and what to do beside it."""

    target: Target
    text: str
    type_name: str | None
    verify: bool
    dry_run: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What was written, or would be.

    Attributes:
        held: What the meter holds now; None unless it was asked.
    """

    place: Place
    value: Data
    held: Sequence[Data] = ()

    @property
    def kind(self) -> Kind[Any] | None:
        row = self.place.row
        return row.kind if isinstance(row, Attribute) else None

    @property
    def same(self) -> bool:
        """Whether the meter holds what was written, as far as it was asked."""
        octets = axdr_data.encode(self.value)
        return all(axdr_data.encode(each) == octets for each in self.held)


@click.command()
@click.argument("url")
@click.argument("place", metavar="OBIS[:ATTRIBUTE]")
@click.argument("value")
@click.option("--type", "type_name", help="Type of VALUE, such as double-long-unsigned.")
@click.option("--class", "class_id", type=click.IntRange(0, 0xFFFF), help="[from the object list]")
@click.option("--verify", is_flag=True, help="Read the attribute back and compare.")
@click.option("--dry-run", is_flag=True, help="Show the octets, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@meter_options
def write(  # noqa: PLR0913  one parameter an option
    *,
    url: str,
    place: str,
    value: str,
    type_name: str | None,
    class_id: int | None,
    verify: bool,
    dry_run: bool,
    as_json: bool,
    config: Path | None,
    **given: str | None,
) -> int:
    """Write VALUE to an attribute of a meter at URL.

    The class of the object says which type the value has: write numbers, text, true or false,
    date-times as 2026-03-01T12:30:00+01:00, names of codes, and arrays and structures as JSON.
    Octets are text, or hex after 0x.  {"TYPE": VALUE} or --type says the type, and hex:… gives the
    encoded value itself.

    \b
    openami write tcp://127.0.0.1:4059 0.0.1.0.0.255:time_zone -- -60
    openami write tcp://127.0.0.1:4059 1.0.99.1.0.255:capture_period 900 --verify
    openami write tcp://127.0.0.1:4059 0.0.96.1.9.255 '"kitchen"' --type visible-string
    openami write tcp://127.0.0.1:4059 0.0.1.0.0.255:time 2026-03-01T12:30:00+01:00 --dry-run
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    meter = Meter.gather(url, given, config)
    wish = Wish(Target.parse(place, 2, class_id), value, type_name, verify, dry_run)
    given_type(value, type_name)  # refused before anybody is called
    written = run_with_meter(meter, lambda work: _write(work, wish))
    if not written.same:
        held = shown(written.kind, written.held[0])
        sentence = f"{meter.url}: {written.place} now holds {held}, not what was written"
        raise UserError(f"{sentence}: the meter may round or limit it")
    click.echo(_json(written, dry_run=dry_run) if as_json else _text(written, wish))
    return int(ExitCode.DONE)


async def _write(work: Work, wish: Wish) -> Written:
    client = work.session.client
    written = await work.run(_prepared(client, work.meter.client_name, wish))
    if wish.dry_run:
        return written
    work.changes = True
    return await work.run(_carried_out(client, written, verify=wish.verify))


def _prepared(client: Client, name: str, wish: Wish) -> Steps[Written]:
    """Return what is to be written; nothing is yet."""
    place = yield from Objects(client, name).attribute(wish.target)
    at = place.class_id, place.obis, place.index
    known, value = given_type(wish.text, wish.type_name)
    if not known:
        kind: Kind[Any] = place.row.kind if isinstance(place.row, Attribute) else RAW
        example = None
        if kind.is_choice:  # what the class leaves open stays what it is now
            try:
                example = yield from client.get_data(*at)
            except AccessError:
                example = None
        value = by_class(kind, wish.text, str(place), example)
    return Written(place, value)


def _carried_out(client: Client, written: Written, *, verify: bool) -> Steps[Written]:
    place = written.place
    at = place.class_id, place.obis, place.index
    yield from client.set_data(*at, written.value, f"{place} (class {place.class_id})")
    if not verify:
        return written
    held = yield from client.get_data(*at)
    return replace(written, held=(held,))


def _text(written: Written, wish: Wish) -> str:
    value = shown(written.kind, written.value)
    if not wish.dry_run:
        return f"{written.place}  {value}  {'written and read back' if wish.verify else 'written'}"
    octets = axdr_data.encode(written.value).hex(" ").upper()
    request = _request(written).hex(" ").upper()
    return f"{written.place}  {value}\nvalue    {octets}\nrequest  {request}\nnothing was written"


def _request(written: Written) -> bytes:
    """Return the plain set-request as it would travel."""
    place = written.place
    return SetRequestNormal(
        invoke_id_and_priority=InvokeIdAndPriority.of(1),
        attribute=AttributeDescriptor(
            class_id=place.class_id, instance_id=place.obis, attribute_id=place.index
        ),
        value=written.value,
    ).encode()


def _json(written: Written, *, dry_run: bool) -> str:
    place = written.place
    said = {
        "obis": str(place.obis),
        "class_id": place.class_id,
        "attribute": place.index,
        "name": place.name,
        "value": to_typed(written.value),
        "hex": axdr_data.encode(written.value).hex(),
        "written": not dry_run,
    }
    if dry_run:
        said["request"] = _request(written).hex()
    if written.held:
        said["read_back"] = to_typed(written.held[0])
    return json.dumps(said, ensure_ascii=False)
