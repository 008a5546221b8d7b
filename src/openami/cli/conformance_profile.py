# SPDX-License-Identifier: Apache-2.0
"""The declaration of a meter under test as a TOML file: reading one, and writing one to begin with.

Secrets stand in files of their own, which the declaration names: a password as text or in hex
after 0x, keys as hex digits.  Paths start at the folder of the declaration.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.cli.option_values import number, octets, secret
from openami.cli.read_options import MECHANISMS
from openami.cli.security_options import HEADERS, Protection
from openami.cosem.conformance.declaration import (
    Declaration,
    DeclaredAssociation,
    DeclaredLink,
    DeclaredPush,
    Row,
)
from openami.cosem.conformance.opening import LN_BITS, SN_BITS
from openami.dlms.apdu.ciphered import AuthenticatedHeader
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.errors import DlmsError
from openami.dlms.hdlc.address import Address
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.security.counters import EXHAUSTED, CounterBlock, InvocationCounter
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityPolicy, SecuritySuite
from openami.lifecycle.keys import MeterKeys
from openami.runtime.config import ConfigFile, Table
from openami.runtime.errors import ConfigurationError, UserError
from openami.runtime.files import read_json
from openami.transport.testline import Patience
from openami.transport.url import Scheme, Url

PUSHED: Final[frozenset[Scheme]] = frozenset({"tcp", "udp", "hdlc+tcp", "hdlc+serial"})
REMEDY: Final = "correct it; `openami conformance init FILE` writes one to begin with"
ON_LINE: Final[frozenset[Scheme]] = frozenset({"hdlc+tcp", "hdlc+serial"})
KEYED: Final = frozenset({Mechanism.HLS_GMAC, Mechanism.HLS_ECDSA})
"""Mechanisms that prove keys, not a secret."""
OURS: Final = frozenset({"meter", "link", "timing", "test_attribute", "push"})
SERVICES: Final = {
    name.lower().replace("_", "-"): flag for name, flag in Conformance.__members__.items()
}


@dataclass(frozen=True, slots=True)
class Profile:
    """What a declaration file says.

    Attributes:
        declaration: The meter.
        patience: How long to wait for it.
        baud: Of a serial line.
        secrets: What no report may show.
        counters: Where the meter tells its frame counters, by name of association.
        push_listen: Where its pushes are heard; None where none are declared.
    """

    declaration: Declaration
    patience: Patience
    baud: int
    secrets: tuple[bytes, ...]
    counters: dict[str, Obis]
    push_listen: Url | None = None


def load(path: Path) -> Profile:
    """Read a declaration.

    Raises:
        ConfigurationError: What cannot be used, with its place.
    """
    file = ConfigFile(path, REMEDY)
    meter = file.table("meter")
    names = meter.texts("associations")
    if not names or OURS & set(names) or len(set(names)) != len(names):
        wanted = f"names of associations, each once, none of {', '.join(sorted(OURS))}"
        raise meter.refused("associations", wanted)
    counters: dict[str, Obis] = {}
    secrets: list[bytes] = []
    blocks: dict[tuple[bytes, bytes], CounterBlock] = {}
    associations = tuple(
        _association(file.table(name), name, counters, secrets, blocks) for name in names
    )
    timing = file.table("timing")
    push, push_listen = _pushes(file.table("push"))
    declaration = Declaration(
        name=meter.text("name", "meter"),
        server_sap=meter.whole("server", 1, least=1, most=0xFFFF),
        link=_link(file, associations),
        associations=associations,
        test_attribute=_row(file.table("test_attribute")),
        profile=_obis(meter, "profile"),
        push=push,
    )
    patience = Patience(timing.number("connect_s", 10.0), timing.number("response_s", 3.0))
    baud = timing.whole("baud", 9600)
    file.refuse_unknown()
    return Profile(declaration, patience, baud, tuple(secrets), counters, push_listen)


def _pushes(table: Table) -> tuple[DeclaredPush | None, Url | None]:
    """Return the push setup under test, and where its pushes are heard."""
    table.ignore("setup", "listen", "within_s", "retry_s")
    setup = _obis(table, "setup")
    if setup is None:
        return None, None
    listen = table.parsed("listen", _push_url, f"a URL of {', '.join(sorted(PUSHED))}")
    within_s, retry_s = table.number("within_s", 10.0), table.number("retry_s", 60.0)
    on_line = listen.scheme in ON_LINE
    push = DeclaredPush(setup=setup, within_s=within_s, retry_s=retry_s, on_line=on_line)
    return push, listen


def _push_url(text: str) -> Url:
    try:
        return Url.parse(text, "listen", PUSHED)
    except UserError as error:
        raise ValueError(str(error)) from None


def _obis(table: Table, key: str) -> Obis | None:
    if key not in table:
        table.ignore(key)
        return None
    return table.parsed(key, Obis.parse, "a logical name such as 1.0.99.1.0.255")


def _row(table: Table) -> Row | None:
    table.ignore("class", "logical_name", "attribute")
    name = _obis(table, "logical_name")
    if name is None:
        return None
    return Row(
        class_id=table.whole("class", most=0xFFFF),
        logical_name=name,
        attribute=table.whole("attribute", 2, least=1, most=127),
    )


def _link(file: ConfigFile, associations: tuple[DeclaredAssociation, ...]) -> DeclaredLink:
    table = file.table("link")
    logical = table.whole("logical", 1, most=0x3FFF)
    physical = table.whole("physical", 0, most=0x3FFF)
    size = table.whole("address_octets", 1, least=1, most=4)
    try:
        Address.server(logical, physical, size)
    except ValueError as error:
        raise ConfigurationError(f"[link] in {file.path}: {error}: {REMEDY}") from error
    inactivity_s = table.number("inactivity_s", 120.0)
    return DeclaredLink(
        logical=logical,
        physical=physical,
        address_octets=size,
        client=table.whole("client", associations[0].client_sap, least=1, most=0x7D),
        max_information_octets=table.whole("max_information_octets", 128, least=32, most=2030),
        window=table.whole("window", 1, least=1, most=7),
        inactivity_s=inactivity_s or None,
        inter_octet_s=table.number("inter_octet_s", 0.5),
    )


def _mechanism(text: str) -> Mechanism:
    try:
        return MECHANISMS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _conformance(table: Table, *, short_names: bool) -> Conformance:
    """Return the declared services; those of the other referencing cannot be declared."""
    found = Conformance(0)
    others = LN_BITS if short_names else SN_BITS
    for name in table.texts("conformance"):
        flag = SERVICES.get(name.lower())
        if flag is None:
            raise table.refused("conformance", f"a list of {', '.join(SERVICES)}")
        if flag & others:
            right = SN_BITS if short_names else LN_BITS
            fit = [each for each, bit in SERVICES.items() if bit & right]
            kind = "short names, which" if short_names else "logical names, which"
            raise table.refused("conformance", f"services of {kind} have {', '.join(fit)}")
        found |= flag
    return found


def _secret(table: Table, key: str) -> bytes:
    """Return the octets of a file that a key names; nothing if there is no such key."""
    table.ignore(key)
    if key not in table:
        return b""
    path = table.path(key)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{table.place(key)}: {path} cannot be read: {REMEDY}") from error
    try:
        if key == "secret_file":
            return secret(text)
        return octets(16, 32)(text)
    except ValueError as error:
        raise ConfigurationError(f"{table.place(key)}: {path} {error}: {REMEDY}") from error


def _keys(path: Path) -> MeterKeys:
    """Read the `keys.json` of a meter of ours, whichever meter it is."""
    found = read_json(path, REMEDY)
    try:
        title = bytes.fromhex(found["title"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} names no meter: {REMEDY}") from error
    return MeterKeys.load(path, title)


def _association(
    table: Table,
    name: str,
    counters: dict[str, Obis],
    secrets: list[bytes],
    blocks: dict[tuple[bytes, bytes], CounterBlock],
) -> DeclaredAssociation:
    guek, gak = _secret(table, "guek_file"), _secret(table, "gak_file")
    master_key = _secret(table, "master_key_file")
    password = _secret(table, "secret_file")
    mechanism = table.parsed("mechanism", _mechanism, f"one of {', '.join(MECHANISMS)}", "none")
    table.ignore("keys_file", "suite")
    suite = SecuritySuite(table.whole("suite", 0, most=2))
    if "keys_file" in table:
        held = _keys(table.path("keys_file"))
        suite = suite if "suite" in table else held.suite
        if mechanism in KEYED:
            guek, gak, master_key = guek or held.guek, gak or held.gak, master_key or held.kek
        elif mechanism is not Mechanism.LOWEST:
            password = password or held.lls
    if bool(guek) != bool(gak):
        raise ConfigurationError(f"[{name}] needs guek_file and gak_file, or neither: {REMEDY}")
    if mechanism is Mechanism.LLS and not password:
        raise ConfigurationError(f"[{name}] needs secret_file for a password: {REMEDY}")
    if mechanism is Mechanism.HLS_GMAC and not guek:
        raise ConfigurationError(f"[{name}] needs guek_file and gak_file for GMAC: {REMEDY}")
    try:
        keys = KeySet(suite=suite, encryption_key=guek, authentication_key=gak) if guek else None
    except DlmsError as error:
        sentence = f"[{name}] has keys that do not fit suite {suite:d} ({error})"
        raise ConfigurationError(f"{sentence}: give suite = 0, 1 or 2") from error
    credentials = _credentials(table, name, suite, mechanism, master_key)
    secrets += [each for each in (guek, gak, master_key, password) if each]
    table.ignore("frame_counter", "user_id")
    frame_counter = _obis(table, "frame_counter")
    if frame_counter is not None:
        counters[name] = frame_counter
    naming = table.text("naming", "ln")
    if naming not in {"ln", "sn"}:
        raise table.refused("naming", "ln or sn")
    title = table.title("title") if guek or credentials or "title" in table else b""
    first = table.parsed("counter", number, "a number", "1")
    # Under one key no counter comes twice, whichever client counts.
    block = blocks.setdefault((guek or name.encode(), title), CounterBlock(first, EXHAUSTED))
    block.following = max(block.following, InvocationCounter(first))
    return DeclaredAssociation(
        name=name,
        client_sap=table.whole("client", least=1, most=0x7F),
        short_names=naming == "sn",
        mechanism=mechanism,
        secret=password,
        keys=keys,
        master_key=MasterKey(master_key) if master_key else None,
        credentials=credentials,
        client_title=title,
        policy=_policy(table, ciphered=bool(guek)),
        general_header=table.parsed(
            "general_header", AuthenticatedHeader, f"one of {', '.join(HEADERS)}", "standard"
        ),
        conformance=_conformance(table, short_names=naming == "sn"),
        security_setup=_obis(table, "security_setup"),
        user_id=table.whole("user_id", most=0xFF) if "user_id" in table else None,
        counters=block,
    )


def _policy(table: Table, *, ciphered: bool) -> SecurityPolicy:
    policy = SecurityPolicy.from_version_0(table.whole("policy", 3 if ciphered else 0, most=3))
    signatures = SecurityPolicy.DIGITALLY_SIGNED_REQUEST | SecurityPolicy.DIGITALLY_SIGNED_RESPONSE
    return policy | signatures if table.flag("signatures", default=False) else policy


def _credentials(
    table: Table, name: str, suite: SecuritySuite, mechanism: Mechanism, master_key: bytes
) -> Credentials | None:
    """Return the key pairs of suites 1 and 2 that a table names; None if it names none."""
    files = ("sign_key_file", "agree_key_file", "meter_certs_file")
    table.ignore(*files)
    sign, agree, certs = (table.path(each) if each in table else None for each in files)
    if sign is None and agree is None and certs is None:
        if mechanism is Mechanism.HLS_ECDSA:
            sentence = f"[{name}] needs sign_key_file and meter_certs_file for ECDSA"
            raise ConfigurationError(f"{sentence}: {REMEDY}")
        return None
    if suite is SecuritySuite.AES_GCM_128:
        sentence = f"[{name}] has key pairs, which suite 0 does not know: give suite = 1 or 2"
        raise ConfigurationError(sentence)
    if sign is None or certs is None:
        sentence = f"[{name}] needs sign_key_file and meter_certs_file with its key pairs"
        raise ConfigurationError(f"{sentence}: {REMEDY}")
    how = Protection(
        suite=suite, sign_key=sign, agree_key=agree, meter_certs=certs, kek=master_key or None
    )
    return how.credentials(suite, proves=mechanism is Mechanism.HLS_ECDSA)


EXAMPLE: Final = """\
# What the meter under test claims to be: `openami conformance run URL --profile THIS`.

[meter]
name = "meter under test"
server = 1                        # service access point of the logical device
associations = ["public", "reader", "manager"]   # each has a table below
#profile = "1.0.99.1.0.255"       # a profile generic object with five rows or more

[link]                            # meters on HDLC
logical = 1
physical = 0
address_octets = 1                # 1, 2 or 4: how long the meter's own addresses are
client = 16                       # whose frames the HDLC cases send
max_information_octets = 128      # what the other cases propose
window = 1
inactivity_s = 120                # 0: the meter never leaves a silent link
inter_octet_s = 0.5

[timing]
connect_s = 10
response_s = 3                    # how long silence lasts before it counts as silence
baud = 9600

#[test_attribute]                 # may be written with any value of its type, and is written back
#class = 1
#logical_name = "0.0.96.1.9.255"
#attribute = 2

#[push]                           # for cases about pushes
#setup = "0.0.25.9.0.255"         # the push setup, which pushes to
#listen = "tcp://0.0.0.0:4061"    # where it is heard: tcp, udp, hdlc+tcp or hdlc+serial
#within_s = 10                    # how soon a push comes
#retry_s = 60                     # how soon one that is not confirmed comes again

[public]
client = 16
mechanism = "none"
conformance = ["get", "selective-access", "block-transfer-with-get-or-read"]

[reader]
client = 32
mechanism = "lls"
secret_file = "reader.secret"     # the password as text, or in hex after 0x
conformance = ["get", "selective-access", "block-transfer-with-get-or-read", "set"]

[manager]
client = 1
mechanism = "gmac"                # none lls hls md5 sha1 gmac sha256 ecdsa
#suite = 1                        # 0, 1 or 2; that of keys_file unless told
#sign_key_file = "sign.key"       # suites 1 and 2: our private keys (PEM), and
#agree_key_file = "agree.key"     # the meter's certificates for signing and key agreement
#meter_certs_file = "meter.pem"
guek_file = "guek.hex"            # 32 hex digits, in suite 2 64; ours: keys_file = "keys.json"
gak_file = "gak.hex"
#master_key_file = "kek.hex"      # for cases that replace keys
title = "4F414DF000000001"        # our system title
policy = 3                        # 0 none, 1 authenticated, 2 encrypted, 3 both
#signatures = false               # whether the policy asks for signatures too
#general_header = "standard"      # or without-header: what the tag of general-ciphering covers
security_setup = "0.0.43.0.0.255"
#frame_counter = "0.0.43.1.0.255" # where the first plain association reads our last counter
counter = "1"                     # our first frame counter
conformance = [
    "get", "set", "action", "selective-access", "multiple-references",
    "block-transfer-with-get-or-read", "block-transfer-with-set-or-write",
    "block-transfer-with-action",
]
"""
