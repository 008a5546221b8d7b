# SPDX-License-Identifier: Apache-2.0
"""`openami call`: invoke one method of any DLMS meter."""

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import click

from openami.cli.connecting import Meter, Work, run_with_meter
from openami.cli.meter_options import meter_options
from openami.cli.places import Objects, Place, Target
from openami.cli.values import by_class, given_type, shown
from openami.cosem.choices import RAW
from openami.cosem.kinds import INTEGER, Kind, KindError
from openami.cosem.literals import to_typed
from openami.cosem.model import Method
from openami.dlms import data as axdr_data
from openami.dlms.data import Data, Integer
from openami.runtime.errors import ExitCode, UserError

DESTRUCTIVE: Final = frozenset(
    {
        "change_class",
        "change_hls_secret",
        "change_lls_secret",
        "change_region",
        "close_account",
        "delete",
        "delete_authentication_key",
        "delete_mask",
        "delete_mc_ip_address",
        "delete_parameter",
        "disconnect_from_network",
        "generate_key_pair",
        "image_activate",
        "image_transfer_initiate",
        "key_agreement",
        "key_transfer",
        "remote_disconnect",
        "remove_certificate",
        "remove_entries",
        "remove_function",
        "remove_mirror",
        "remove_object",
        "remove_pan",
        "remove_user",
        "reset",
        "reset_account",
        "reset_alarm",
        "reset_join_state",
        "restore_pan",
        "security_activate",
        "set_encryption_key",
        "slave_deinstall",
        "transfer_key",
        "unregister_all_devices",
        "unregister_device",
        "update_link_key",
        "update_network_key",
    }
)
"""Methods that cut off, erase, or lock out."""


@click.command()
@click.argument("url")
@click.argument("place", metavar="OBIS:METHOD")
@click.argument("argument", required=False)
@click.option("--type", "type_name", help="Type of ARGUMENT, such as long.")
@click.option("--class", "class_id", type=click.IntRange(0, 0xFFFF), help="[from the object list]")
@click.option("--yes", is_flag=True, help="Ask nothing before a method that cuts off or erases.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@meter_options
def call(  # noqa: PLR0913  one parameter an option
    *,
    url: str,
    place: str,
    argument: str | None,
    type_name: str | None,
    class_id: int | None,
    yes: bool,
    as_json: bool,
    config: Path | None,
    **given: str | None,
) -> int:
    """Invoke a method of a meter at URL, with ARGUMENT where it takes one.

    METHOD is its name or its number; ARGUMENT is written as for `openami write`, and is the
    integer 0 where the class wants no more.  On a terminal, methods that cut off, erase or lock out
    are asked about first.

    \b
    openami call tcp://127.0.0.1:4059 0.0.96.3.10.255:remote_disconnect
    openami call tcp://127.0.0.1:4059 0.0.1.0.0.255:shift_time -- -30
    openami call tcp://127.0.0.1:4059 1.0.99.1.0.255:capture
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    meter = Meter.gather(url, given, config)
    target = Target.parse(place, None, class_id)
    if argument is not None:
        given_type(argument, type_name)  # refused before anybody is called
    asks = not yes and sys.stdin.isatty() and sys.stdout.isatty()

    async def invoke(work: Work) -> tuple[Place, Data]:
        return await _invoke(work, target, (argument, type_name), asks=asks)

    found, value = run_with_meter(meter, invoke)
    if as_json:
        click.echo(json.dumps(_json(found, value), ensure_ascii=False))
        return int(ExitCode.DONE)
    answer = "" if value is None else f"  {shown(_result(found), value)}"
    click.echo(f"{found}  done{answer}")
    return int(ExitCode.DONE)


async def _invoke(
    work: Work, target: Target, argument: tuple[str | None, str | None], *, asks: bool
) -> tuple[Place, Data]:
    client = work.session.client
    place = await work.run(Objects(client, work.meter.client_name).method(target))
    value = _argument(place, *argument)
    if asks and (place.row is None or place.name in DESTRUCTIVE):
        question = f"{place} of {work.meter.url} may cut off, erase or lock out: invoke it?"
        if not await asyncio.to_thread(click.confirm, question):
            raise UserError("nothing was invoked")
    what = f"{place} (class {place.class_id})"
    work.changes = True
    steps = client.act_data(place.class_id, place.obis, place.index, value, what)
    return place, await work.run(steps)


def _argument(place: Place, text: str | None, type_name: str | None) -> Data:
    row = place.row
    kind: Kind[Any] = row.argument if isinstance(row, Method) else RAW
    if text is None:
        return _nothing(place, kind)
    known, value = given_type(text, type_name)
    return value if known else by_class(kind, text, str(place))


def _nothing(place: Place, kind: Kind[Any]) -> Data:
    """Return what stands for no argument: the integer 0, or null-data where the class says so.

    A method of a class that nobody declared gets the integer 0 too; one that takes a number of its
    own is never given 0 in silence.
    """
    if kind is INTEGER or kind is RAW:
        return Integer(0)
    with suppress(KindError):
        kind.from_data(None)
        return None
    sentence = f"{place} takes an argument, {kind.name}: give it behind the method"
    raise UserError(sentence, ExitCode.ASKED_WRONGLY)


def _result(place: Place) -> Kind[Any] | None:
    return place.row.result if isinstance(place.row, Method) else None


def _json(place: Place, value: Data) -> dict[str, object]:
    return {
        "obis": str(place.obis),
        "class_id": place.class_id,
        "method": place.index,
        "name": place.name,
        "result": to_typed(value),
        "hex": "" if value is None else axdr_data.encode(value).hex(),
    }
