# SPDX-License-Identifier: Apache-2.0
"""`openami simulate`: run a meter from a dump, or the reference meter that comes with us."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import click

from openami.cli.load import Load, with_history
from openami.cli.ranges import FiniteRange
from openami.cli.read_options import TOOL_TITLE
from openami.cli.security_options import HEADERS
from openami.cli.serving import SERVED, Opened, serve
from openami.cli.simulated_bus import TrialBus
from openami.cli.simulated_credentials import CertificateFolder
from openami.cli.simulated_keys import ManagersKeys, bind_security_setups
from openami.cli.simulated_ports import TrialProtection, TrialTokens, guard_of
from openami.cli.simulated_pushes import Pusher, Schedule
from openami.cli.simulating import (
    TICK_S,
    Calendar,
    CounterFile,
    Living,
    load_json,
    reference,
)
from openami.cosem.behaviour.bindings import bring_to_life
from openami.cosem.behaviour.host import Happened, Host
from openami.cosem.classes.mbus import MBusClient
from openami.cosem.classes.payment import TokenGateway
from openami.cosem.classes.protection import DataProtection
from openami.cosem.device import Ciphering, LogicalDevice
from openami.cosem.dump import Dump, DumpError
from openami.cosem.serving.short_names import ShortNames
from openami.cosem.simulation import SIGNER, Secrets, bind_methods, refer_by_short_names, simulated
from openami.dlms.apdu.ciphered import AuthenticatedHeader
from openami.dlms.obis import Obis
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.credentials import MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecuritySuite
from openami.lifecycle.keys import MeterKeys
from openami.runtime.clock import MICROSECONDS
from openami.runtime.errors import ConfigurationError, ExitCode, UserError
from openami.runtime.files import PRIVATE, write_json
from openami.runtime.process import stop_event
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, server_tls
from openami.transport.url import Scheme, Url

LISTEN: Final = "tcp://127.0.0.1:4059"
PUSHED: Final[frozenset[Scheme]] = frozenset({"tcp", "udp", "hdlc+tcp", "hdlc+serial"})
TOLD: Final = "told"
PASSWORD_OCTETS: Final = 16
_PEM: Final = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What is to be run."""

    name: str
    dump: Dump
    listen: Sequence[Url]
    secured: Secured | None
    keys: MeterKeys
    keys_path: Path | None
    certificates: CertificateFolder | None
    load_w: Decimal
    speed: float
    history_days: int
    physical: int
    push: Url | None  # with `pushes`; None for where each push setup says
    pushes: bool
    push_every_s: float
    general_header: AuthenticatedHeader
    short_names: bool
    quiet: bool


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
@click.option(
    "--listen",
    "listen_",
    multiple=True,
    metavar="URL",
    help="tcp, tls, udp, dtls, coap, coaps, hdlc+tcp, or hdlc+serial for a pseudo-terminal; "
    f"may be repeated.  [{LISTEN}]",
)
@click.option("--ca", type=_PEM, help="tls, dtls, coaps: certificate of the authority (PEM).")
@click.option("--cert", type=_PEM, help="The same: the meter's certificate (PEM).")
@click.option("--key", type=_PEM, help="The same: the meter's private key (PEM).")
@click.option(
    "--keys",
    "keys_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The meter's keys.json; made if it is not there.  [new keys, printed]",
)
@click.option(
    "--suite",
    type=click.Choice(["0", "1", "2"]),
    help="Security suite: 1 and 2 have key pairs and need --certs.  [that of --keys, or 0]",
)
@click.option(
    "--certs",
    type=click.Path(path_type=Path, file_okay=False),
    help="Suites 1 and 2: folder of key pairs and certificates; made if it is not there.",
)
@click.option(
    "--load", metavar="KW", help="Mean load in kW: energy grows.  [0, reference meter 0.4]"
)
@click.option(
    "--speed",
    type=FiniteRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Calendar seconds a real second.",
)
@click.option(
    "--history-days",
    type=click.IntRange(0, 366),
    help="Rows of so many days in profiles that are empty.  [0, reference meter 8]",
)
@click.option(
    "--physical", type=click.IntRange(0, 16383), default=0, help="hdlc: physical address.  [0]"
)
@click.option(
    "--push",
    metavar="URL",
    help="Where pushes go, tcp, udp, hdlc+tcp or hdlc+serial; or `told`, for where each push setup "
    "says.  [nowhere]",
)
@click.option("--push-every", type=FiniteRange(0.1), metavar="SECONDS", help="Push this often.")
@click.option("--title", metavar="HEX", help="System title, 16 hex digits.  [the dump's]")
@click.option(
    "--general-header",
    type=click.Choice(list(HEADERS)),
    default=next(iter(HEADERS)),
    show_default=True,
    help="Whether the tag of general-ciphering covers its header.",
)
@click.option("--short-names", is_flag=True, help="Clients refer to objects by short name (SN).")
@click.option("--quiet", is_flag=True, help="Print nothing but the addresses.")
def simulate(  # noqa: PLR0913  one parameter an option
    *,
    file: Path | None,
    listen_: tuple[str, ...],
    ca: Path | None,
    cert: Path | None,
    key: Path | None,
    keys_path: Path | None,
    suite: str | None,
    certs: Path | None,
    load: str | None,
    speed: float,
    history_days: int | None,
    physical: int,
    push: str | None,
    push_every: float | None,
    title: str | None,
    general_header: str,
    short_names: bool,
    quiet: bool,
) -> int:
    """Run a meter from FILE, which `openami dump` wrote, until Ctrl-C.

    Without FILE it is the reference meter: three phases, load profile, tariffs, breaker, push.
    Its clock runs, its profiles capture, its breaker opens and closes.  It is a meter for trying
    out: whoever reaches its port can talk to it, so it listens on loopback unless told otherwise.

    \b
    openami simulate
    openami simulate meter.json --listen tcp://127.0.0.1:4059 --listen hdlc+tcp://127.0.0.1:4060
    openami simulate --keys keys.json --suite 1 --certs certificates
    openami simulate --keys keys.json --load 1.5 --push tcp://127.0.0.1:4061 --push-every 60
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    logging.getLogger("openami").addHandler(logging.NullHandler())
    dump = _dump(file, title)
    keys = _keys(keys_path, dump.system_title, None if suite is None else SecuritySuite(int(suite)))
    urls = [Url.parse(text, "--listen", SERVED) for text in listen_ or (LISTEN,)]
    wish = Simulation(
        name=str(file) if file else "the reference meter",
        dump=dump,
        listen=urls,
        secured=secured_for(urls, ca, cert, key),
        keys=keys,
        keys_path=keys_path,
        certificates=_certificates(certs, keys.suite, dump.system_title),
        load_w=_watts(load, default=Decimal(0) if file else Decimal(400)),
        speed=speed,
        history_days=(0 if file else 8) if history_days is None else history_days,
        physical=physical,
        push=Url.parse(push, "--push", PUSHED) if push and push != TOLD else None,
        pushes=bool(push),
        push_every_s=push_every or 0.0,
        general_header=HEADERS[general_header],
        short_names=short_names,
        quiet=quiet,
    )
    if push_every and not push:
        raise UserError("--push-every says how often, and --push where to: give both", _WRONG)
    asyncio.run(_run(wish))
    return int(ExitCode.DONE)


_WRONG: Final = ExitCode.ASKED_WRONGLY


def _dump(file: Path | None, title: str | None) -> Dump:
    place = str(file) if file else "the reference meter"
    try:
        dump = Dump.from_json(load_json(file) if file else reference())
    except DumpError as error:
        raise ConfigurationError(f"{place} is no dump of a meter: {error}") from error
    if title is not None:
        dump = replace(dump, system_title=_title(title))
    return dump if dump.system_title else replace(dump, system_title=b"OAM\xf0" + os.urandom(4))


def secured_for(
    urls: Sequence[Url], ca: Path | None, cert: Path | None, key: Path | None
) -> Secured | None:
    """Return a listener's side of TLS and DTLS, where one of its addresses wants that."""
    if not any(url.encrypted for url in urls):
        return None
    if ca is None or cert is None or key is None:
        wants = next(url for url in urls if url.encrypted)
        raise UserError(f"{wants} needs a certificate: give --ca, --cert and --key", _WRONG)
    let_in = frozenset({Role.CLIENT, Role.CONCENTRATOR, Role.HEAD_END})
    return Secured(server_tls(TlsIdentity(ca, cert, key)), Expected(roles=let_in))


def _title(text: str) -> bytes:
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) != 8:
        raise UserError(f"--title {text!r} must be 16 hex digits (8 octets)", _WRONG)
    return octets


def _watts(text: str | None, *, default: Decimal) -> Decimal:
    if text is None:
        return default
    try:
        kilowatts = Decimal(text)
    except ArithmeticError:
        kilowatts = Decimal("NaN")
    if not kilowatts.is_finite() or not 0 <= kilowatts <= 1000:
        raise UserError(f"--load {text!r} must be a number of kW, 0 to 1000", _WRONG)
    return kilowatts * 1000


def _keys(path: Path | None, title: bytes, suite: SecuritySuite | None) -> MeterKeys:
    if path is not None and path.exists():
        keys = MeterKeys.load(path, title)
        if suite is not None and suite is not keys.suite:
            said = f"{path} holds keys of suite {keys.suite:d}, and --suite says {suite:d}"
            raise UserError(f"{said}: give another --keys file, and it is made", _WRONG)
        return keys
    keys = MeterKeys.generate(suite or SecuritySuite.AES_GCM_128)
    if path is not None:
        write_json(path, keys.to_json(title), mode=PRIVATE)
    return keys


def _certificates(
    path: Path | None, suite: SecuritySuite, title: bytes
) -> CertificateFolder | None:
    if suite is SecuritySuite.AES_GCM_128:
        if path is not None:
            raise UserError("--certs is for suites 1 and 2: give --suite 1 or 2 with it", _WRONG)
        return None
    if path is None:
        sentence = f"suite {suite:d} has key pairs and certificates: give --certs FOLDER for them"
        raise UserError(sentence, _WRONG)
    return CertificateFolder.open(path, suite, title, TOOL_TITLE)


async def _run(wish: Simulation) -> None:
    stop = stop_event()
    counters = CounterFile(
        wish.keys_path.with_name(f"{wish.keys_path.name}.counters") if wish.keys_path else None
    )
    keys = KeySet(
        suite=wish.keys.suite, encryption_key=wish.keys.guek, authentication_key=wish.keys.gak
    )
    ciphering = Ciphering(
        cipher=Cipher(keys),
        counters=CounterBlock.reserving(counters),
        form=wish.general_header,
    )
    counters.resume(ciphering)
    managers = ManagersKeys(
        keys=wish.keys,
        path=wish.keys_path,
        ciphering=ciphering,
        master_key=MasterKey(wish.keys.kek),
        folder=wish.certificates,
    )
    secrets = Secrets(
        password=wish.keys.lls, ciphering=ciphering, credentials=managers.credentials()
    )
    calendar = Calendar(wish.speed)
    load = Load(wish.dump, wish.load_w, calendar.now_us)
    dump = with_history(wish.dump, load, calendar.now_us(), wish.history_days)
    made = simulated(dump, secrets)
    if wish.short_names:
        refer_by_short_names(made.device, ShortNames())
    pusher = None
    if wish.pushes:
        pusher = Pusher(
            made.device, wish.push, ciphering, calendar.now_us, _note, physical=wish.physical
        )
    bus = TrialBus(calendar.now_us)
    protection = TrialProtection(made.device, managers, wish.dump)
    if pusher is not None:
        pusher.ring = protection
    host = Host(
        clock=calendar,
        entropy=os.urandom,
        measured=load,
        poll_us=round(max(1.0, wish.speed * TICK_S) * MICROSECONDS),
        port=_ports(made.device, pusher, bus, protection),
        report=lambda happened: None if wish.quiet else _report(happened),
    )
    begun_us = calendar.now_us()
    life = bring_to_life(made.device, host)
    bus.life = life
    if pusher is not None:
        pusher.life = life
    tell_energy = load.feed(life)
    bind_security_setups(made.device, managers)
    bind_methods(made.device, wish.dump)
    opened: list[Opened] = []
    try:
        for url in wish.listen:
            guard = guard_of(life, url.scheme)
            each = await serve(made.device, url, wish.physical, wish.secured, guard)
            opened.append(each)  # at once: what is open is closed at the end
        _greet(wish, opened, made.left_out)
        schedule = Schedule(pusher, wish.push_every_s) if pusher and wish.push_every_s else None

        def keep() -> None:
            bus.settle()
            counters.follow(ciphering)

        living = Living(
            life,
            calendar,
            tell_energy,
            keep,
            begun_us,
            schedule,
        )
        await living.run(stop)
    finally:
        for each in opened:
            await each.close()


def _ports(
    device: LogicalDevice, pusher: Pusher | None, bus: TrialBus, protection: TrialProtection
) -> Callable[[Obis], object | None]:
    """Return what objects need of their host, by logical name; others do without."""
    by_class: dict[int, Callable[[Obis], object]] = {
        TokenGateway.class_id: lambda _at: TrialTokens(),
        MBusClient.class_id: bus.port,
        DataProtection.class_id: lambda _at: protection,
    }
    ports: dict[Obis, object | None] = {
        each.values[1]: by_class[each.class_id](each.values[1])
        for each in device
        if each.class_id in by_class
    }
    if pusher is not None:
        ports |= {at: pusher.transport(at) for at in pusher.setups()}
    return ports.get


def _note(sentence: str) -> None:
    click.echo(sentence, err=True)


def _report(happened: Happened) -> None:
    click.echo(f"{happened.at}: {happened.what}", err=True)


def _greet(wish: Simulation, opened: Sequence[Opened], left_out: Sequence[str]) -> None:
    """Say where the meter is and who may be there."""
    for each in opened:
        click.echo(f"listening on {each.url}")
    if wish.quiet:
        return
    dump, url = wish.dump, opened[0].url
    title = dump.system_title.hex().upper()
    click.echo(f"{wish.name}: {len(dump.objects)} objects, system title {title}")
    for line in left_out:
        click.echo(f"left out: {line}")
    if wish.keys_path is not None:
        manager = reader = f"--keys {wish.keys_path}"
    else:
        keys = wish.keys
        manager = f"--guek {keys.guek.hex()} --gak {keys.gak.hex()}"
        reader = f"--secret 0x{keys.lls.hex()}"
    click.echo(f"\n  openami read {url} 0.0.1.0.0.255")
    click.echo(f"  openami read {url} --client 32 {reader} 1.0.1.8.0.255")
    click.echo(f"  openami read {url} --client 1 {manager} 0.0.40.0.0.255")
    if (folder := wish.certificates) is not None:
        pairs = f"--sign-key {folder.path}/client-sign.key --meter-certs {folder.path}/meter.pem"
        suite = "" if wish.keys_path else f" --suite {wish.keys.suite:d}"
        title = f" --title {folder.client_title.hex()}" if folder.client_title != TOOL_TITLE else ""
        peer = "" if wish.keys_path else f" --peer-title {dump.system_title.hex()}"
        signer = f"--client {SIGNER} --mechanism ecdsa {manager}{suite}{title}{peer}"
        click.echo(f"  openami read {url} {signer} \\\n    {pairs} 0.0.40.0.0.255")
    click.echo("\nCtrl-C stops it")
