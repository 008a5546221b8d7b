# SPDX-License-Identifier: Apache-2.0
"""`openami push listen`: take what meters push, and print it."""

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import click

from openami.cli.push_lines import Close, dial_line, listen_for_lines, open_line
from openami.cli.push_signers import Signers
from openami.cli.pushes import Inbox, Push, PushKeys
from openami.cli.security_options import HEADERS, certificates_in
from openami.cli.simulate import secured_for
from openami.cli.telegram_json import time_text, to_json, unit_text, value_text
from openami.cosem.obis_names import describe as describe_obis
from openami.dlms.errors import DlmsError
from openami.dlms.recordings import p1
from openami.dlms.recordings.framings import frames
from openami.dlms.recordings.recorded import Framed
from openami.dlms.recordings.translate import describe
from openami.lifecycle.keys import MeterKeys
from openami.runtime.errors import ConfigurationError, ExitCode, UserError
from openami.runtime.files import read_json, read_toml, write_json
from openami.runtime.process import stop_event
from openami.transport.anywhere import listen_anywhere
from openami.transport.serial import SPEEDS
from openami.transport.tls import Secured
from openami.transport.url import ALL_SCHEMES, Url
from openami.transport.wire import Limits, WireError

LISTEN: Final = "tcp://127.0.0.1:4061"
LIMITS: Final = Limits(max_connections=1000, idle_timeout_s=3600.0)
_PEM: Final = click.Path(path_type=Path, dir_okay=False)
_WRONG: Final = ExitCode.ASKED_WRONGLY


@click.group()
def push() -> None:
    """Take what meters send without being asked."""


@push.command()
@click.argument("urls", metavar="[URL]...", nargs=-1)
@click.option(
    "--keys",
    "key_files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A meter's keys.json; may be repeated.",
)
@click.option("--guek", metavar="HEX", help="Encryption key of meters without a keys.json.")
@click.option("--gak", metavar="HEX", help="Authentication key of the same.")
@click.option("--title", metavar="HEX", help="System title of a sender that tells none.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file with guek, gak and title; keeps keys off the command line.",
)
@click.option("--ca", type=_PEM, help="tls, dtls, coaps: certificate of the authority (PEM).")
@click.option("--cert", type=_PEM, help="The same: our certificate (PEM).")
@click.option("--key", type=_PEM, help="The same: our private key (PEM).")
@click.option(
    "--baud", type=click.IntRange(300), default=2400, show_default=True, help="Of serial lines."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that keeps each push in a JSON file.",
)
@click.option(
    "--dial", is_flag=True, help="hdlc+tcp: call the adapter at URL instead of waiting for it."
)
@click.option("--count", type=click.IntRange(1), help="End after so many pushes.")
@click.option(
    "--general-header",
    type=click.Choice(list(HEADERS)),
    default=next(iter(HEADERS)),
    show_default=True,
    help="Whether the tag of general-ciphering covers its header.",
)
@click.option(
    "--meter-certs",
    multiple=True,
    type=_PEM,
    help="Certificates of meters that sign, and authorities to trust (PEM); may be repeated.",
)
@click.option("--unverified", is_flag=True, help="Take signatures of meters without certificate.")
@click.option("--signed", is_flag=True, help="Refuse pushes without a verified signature.")
@click.option("--protected", is_flag=True, help="Refuse pushes in the clear.")
@click.option("--no-confirm", is_flag=True, help="Confirm nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each push.")
def listen(  # noqa: PLR0913  one parameter an option
    *,
    urls: tuple[str, ...],
    key_files: tuple[Path, ...],
    guek: str | None,
    gak: str | None,
    title: str | None,
    config: Path | None,
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    baud: int,
    output: Path | None,
    dial: bool,
    count: int | None,
    general_header: str,
    meter_certs: tuple[Path, ...],
    unverified: bool,
    signed: bool,
    protected: bool,
    no_confirm: bool,
    as_json: bool,
) -> int:
    """Listen on each URL for pushes until Ctrl-C, and print them.

    URL is tcp, tls, udp, dtls, coap or coaps://HOST:PORT, hdlc+tcp://HOST:PORT for lines behind
    the network, or hdlc+serial:///dev/ttyUSB0 for a customer port: HDLC, M-Bus and P1 telegrams
    are told apart by themselves.  Pushes that want it are confirmed; a counter that was used
    before is refused, and so is a signature that is wrong or that nobody here can verify.

    \b
    openami push listen tcp://0.0.0.0:4061 --keys keys.json
    openami push listen hdlc+serial:///dev/ttyUSB0 --baud 2400 --guek 0123…
    openami push listen udp://0.0.0.0:4061 --json -o pushes
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    logging.getLogger("openami").addHandler(logging.NullHandler())
    where = [Url.parse(text, "the address", ALL_SCHEMES) for text in urls or (LISTEN,)]
    if dial and any(each.scheme != "hdlc+tcp" for each in where):
        sentence = "--dial calls adapters on the network: give it with hdlc+tcp:// alone"
        raise UserError(sentence, _WRONG)
    if baud not in SPEEDS:
        raise UserError(f"--baud {baud} must be one of {', '.join(map(str, SPEEDS))}", _WRONG)
    said = _from_file(config)
    guek, gak, title = guek or said.get("guek"), gak or said.get("gak"), title or said.get("title")
    inbox = Inbox(
        dict(_meter_keys(path) for path in key_files),
        _default_keys(guek, gak),
        _hex("--title", title, 8) if title else b"",
        protected=protected,
        signers=_signers(meter_certs, unverified=unverified, signed=signed),
        form=HEADERS[general_header],
    )
    terms = Terms(
        as_json=as_json, output=output, count=count, confirms=not no_confirm, baud=baud, dial=dial
    )
    if output is not None:
        _make_folder(output)
    asyncio.run(_run(where, secured_for(where, ca, cert, key), inbox, terms))
    return int(ExitCode.DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is done with a push."""

    as_json: bool
    output: Path | None
    count: int | None
    confirms: bool
    baud: int
    dial: bool = False


def _from_file(path: Path | None) -> dict[str, str]:
    """Read guek, gak and title from a TOML file; what is not there is not said."""
    if path is None:
        return {}
    said = read_toml(path, "give --config a TOML file with guek, gak and title")
    for name, value in said.items():
        if name not in {"guek", "gak", "title"} or not isinstance(value, str):
            sentence = f"{name} in {path} is not understood: use guek, gak and title, each as text"
            raise ConfigurationError(sentence)
    return said


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sentence = f"{path} cannot be made ({error.strerror}): give --output another folder"
        raise UserError(sentence) from error


def _signers(paths: Sequence[Path], *, unverified: bool, signed: bool) -> Signers:
    """Return who may sign, of files with certificates."""
    if signed and unverified:
        sentence = "--signed and --unverified say different things: give one of them"
        raise UserError(sentence, _WRONG)
    certificates = [each for path in paths for each in certificates_in(path)]
    found = Signers(certificates, lambda: datetime.now(UTC), unverified=unverified, required=signed)
    if (paths or signed) and not found.meters:
        names = " and ".join(map(str, paths)) or "nothing"
        sentence = f"{names} holds no certificate of a meter that signs"
        raise ConfigurationError(f"{sentence}: give the meters' own to --meter-certs")
    return found


def _meter_keys(path: Path) -> tuple[bytes, PushKeys]:
    remedy = "give --keys the keys.json of a meter"
    try:
        title = bytes.fromhex(read_json(path, remedy)["title"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} names no meter: {remedy}") from error
    keys = MeterKeys.load(path, title)
    return title, PushKeys(guek=keys.guek, gak=keys.gak)


def _default_keys(guek: str | None, gak: str | None) -> PushKeys | None:
    if guek is None:
        if gak is not None:
            raise UserError("--gak serves only together with --guek: give both", _WRONG)
        return None
    return PushKeys(
        guek=_hex("--guek", guek, 16, 32), gak=_hex("--gak", gak, 16, 32) if gak else b""
    )


def _hex(place: str, text: str, *sizes: int) -> bytes:
    try:
        octets = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        octets = b""
    if len(octets) not in sizes:
        wanted = " or ".join(str(2 * size) for size in sizes)
        raise UserError(f"{place} must be {wanted} hex digits", _WRONG)
    return octets


class _Sends(Protocol):
    @property
    def name(self) -> str: ...
    def send(self, source: int, destination: int, apdu: bytes) -> None: ...


class Receiver:
    """Prints what arrives on any wire."""

    def __init__(self, inbox: Inbox, terms: Terms, stop: asyncio.Event) -> None:
        self._inbox = inbox
        self._terms = terms
        self._stop = stop
        self._taken = 0
        self.ended: OSError | None = None  # why nothing more can be printed

    def take(self, apdu: bytes, source: str) -> bytes:
        """Take one APDU; return what the meter wants to hear, empty if nothing."""
        try:
            found = self._inbox.take(apdu, source)
        except DlmsError as error:
            self.refuse(source, str(error))
            return b""
        if found is None:
            return b""
        if found.repeated:
            self.refuse(source, f"push {found.invoke_id} came again and is confirmed again")
        elif not self._keep(found):
            self._inbox.give_back(found)
            return b""
        return found.confirm if self._terms.confirms else b""

    def telegram(self, burst: bytes, source: str) -> None:
        """Take what came on a line between two silences."""
        if p1.is_telegram(burst):
            self._keep(Push(source=source, kind="p1-telegram", apdu=burst, told=describe(burst)))
            return
        found = frames(burst)
        if found is None:
            self.take(burst, source)
            return
        for frame in found:
            if isinstance(frame, Framed) and frame.apdu is not None:
                self.take(frame.apdu, source)
            elif isinstance(frame, Framed) and frame.faults:
                self.refuse(source, str(frame.faults[0]))

    def refuse(self, source: str, why: str) -> None:
        """Say what was not taken."""
        click.echo(f"openami: {source}: {why}", err=True)

    def gone(self, source: str) -> None:
        """Forget a sender."""
        self._inbox.forget(source)

    def _keep(self, found: Push) -> bool:
        """Write a push and show it; return whether that was done, as only then it is confirmed."""
        received = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = said_by(found, received)
        lines = [json.dumps(said, ensure_ascii=False)]
        if not self._terms.as_json:
            lines = list(text_of(found, received))
        try:
            if self._terms.output is not None:
                stem = (found.system_title.hex().upper() or found.kind) + f"-{received}"
                name = f"{stem.replace(':', '').replace('.', '')}-{self._taken + 1}.json"
                write_json(self._terms.output / name, said)
            click.echo("\n".join(lines))
        except UserError as error:
            self.refuse(found.source, f"a push was not kept and is not confirmed: {error}")
            return False
        except OSError as error:  # nobody reads what is printed: there is no use in going on
            self.ended = error
            self._stop.set()
            return False
        self._taken += 1
        if self._terms.count is not None and self._taken >= self._terms.count:
            self._stop.set()
        return True


def said_by(found: Push, received: str) -> dict[str, Any]:
    """Return a push as JSON."""
    told = to_json(found.told)
    return {
        "received": received,
        "from": found.source,
        "kind": found.kind,
        "system_title": found.system_title.hex().upper(),
        "protection": protection_of(found),
        "signatures": [
            {
                "by": each.by.hex().upper(),
                "verified": each.verified,
                "certificate": each.certificate,
                "issuer": each.issuer,
            }
            for each in found.signatures
        ],
        "invocation_counter": found.counter,
        "invoke_id": found.invoke_id,
        "confirmed": bool(found.confirm),
        "time": told["time"],
        "values": told["values"],
        "apdu": found.apdu.hex(),
    }


def protection_of(found: Push) -> str:
    """Say how a push was protected."""
    words = []
    if found.control is not None:
        words += ["authenticated"] * found.control.authenticated
        words += ["encrypted"] * found.control.encrypted
    words += map(str, found.signatures)
    return " and ".join(words) or "none"


def text_of(found: Push, received: str) -> Iterator[str]:
    """Yield a push for people."""
    who = found.system_title.hex().upper()
    words = [received, who or found.source, found.kind]
    if found.invoke_id is not None:
        words.append(str(found.invoke_id))
    yield " ".join(words)
    details = [f"from {found.source}"] if who else []
    if found.control is not None:
        details.append(f"{protection_of(found)}, invocation counter {found.counter}")
    elif found.signatures:
        details.append(protection_of(found))
    if when := time_text(found.told.moment):
        details.append(f"time {when}")
    if details:
        yield f"  {'; '.join(details)}"
    if found.told.readings:
        yield from (f"  {line}" for line in _table(found))
    else:
        yield f"  {found.apdu.hex()}"


def _table(found: Push) -> Iterator[str]:
    """Yield one line for each value: object, value and unit, what it is."""
    moment = time_text(found.told.moment)
    rows = []
    for each in found.told.readings:
        value = value_text(each, inverted=False)
        unit, when = unit_text(each) or "", time_text(each.date_time)
        at = f" at {when}" if when not in {"", moment} else ""
        rows.append((str(each.obis), f"{value} {unit}".rstrip() + at, describe_obis(each.obis)))
    first, second = (max(len(row[n]) for row in rows) for n in (0, 1))
    for obis, value, words in rows:
        yield f"{obis:<{first}}  {value:>{second}}  {words}".rstrip()


class Arriving:
    """One wire that carries pushes."""

    def __init__(self, wire: _Sends, receiver: Receiver) -> None:
        self._wire = wire
        self._receiver = receiver

    def frame(self, source: int, destination: int, apdu: bytes) -> None:
        """Take one APDU, and confirm it."""
        if confirm := self._receiver.take(apdu, self._wire.name):
            try:
                self._wire.send(destination, source, confirm)
            except WireError as error:
                self._receiver.refuse(self._wire.name, str(error))

    def closed(self, _reason: str) -> None:
        """Forget the sender."""
        self._receiver.gone(self._wire.name)


async def _open(
    url: Url, secured: Secured | None, receiver: Receiver, terms: Terms
) -> tuple[Url, Close]:
    if url.scheme == "hdlc+serial":
        return open_line(url, receiver, terms.baud)
    if url.scheme == "hdlc+tcp":
        return await (dial_line if terms.dial else listen_for_lines)(url, receiver)
    port = await listen_anywhere(
        url, lambda wire: Arriving(wire, receiver), secured=secured, limits=LIMITS
    )
    return port.url, port.close


async def _run(urls: Sequence[Url], secured: Secured | None, inbox: Inbox, terms: Terms) -> None:
    stop = stop_event()
    receiver = Receiver(inbox, terms, stop)
    closers: list[Close] = []
    try:
        for url in urls:
            at, close = await _open(url, secured, receiver, terms)
            closers.append(close)
            click.echo(f"listening on {at}", err=terms.as_json)
        await stop.wait()
    finally:
        for close in closers:
            await close()
    if receiver.ended is not None:
        raise receiver.ended
