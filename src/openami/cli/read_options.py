# SPDX-License-Identifier: Apache-2.0
"""What the tools for any meter are told: on the command line, in a TOML file, in `keys.json`.

The same names everywhere; the command line wins over the file, both over `keys.json`.  A value is
text until it is parsed here, so that a mistake is named the same way wherever it stands.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from openami.cli.option_values import (
    address_size,
    block_exponent,
    block_window,
    gateway,
    information,
    number,
    octets,
    one_of,
    pdu_octets,
    sap,
    seconds,
    secret,
    server_address,
    speed,
    switch,
    window,
)
from openami.cli.security_options import CIPHERS, ENVELOPES, HEADERS, Protection
from openami.coap.block import LARGEST_EXPONENT
from openami.coap.peer import PeerSettings
from openami.cosem.asking.base_names import BaseNames
from openami.cosem.asking.parameters import DEFAULT_CONFORMANCE, UNLIMITED_PDU_OCTETS
from openami.cosem.client import ClientParameters
from openami.cosem.refusals import AssociationError
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.block_transfer import DEFAULT_WINDOW
from openami.dlms.errors import DlmsError, SecurityError
from openami.dlms.gateway import GatewayRoute
from openami.dlms.hdlc.link import LinkTimings
from openami.dlms.hdlc.parameters import GENEROUS, LinkParameters
from openami.dlms.hls import Mechanism
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE, PUBLIC_CLIENT
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.credentials import CREDENTIALS
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import HIGHEST_SUITE, SecuritySuite
from openami.lifecycle.keys import MeterKeys
from openami.meter.config import READER_FORMAT
from openami.runtime.errors import ConfigurationError, ExitCode, UserError
from openami.runtime.files import read_json, read_toml
from openami.transport.coapwire import CoapSettings
from openami.transport.hdlc import HdlcSettings
from openami.transport.hdlcpoint import BITS_PER_OCTET
from openami.transport.tls import Expected, Role, Secured, TlsIdentity, client_tls
from openami.transport.url import Url

WITH_GENERAL_BLOCKS: Final = DEFAULT_CONFORMANCE | Conformance.GENERAL_BLOCK_TRANSFER
MANAGER: Final = 1
READER: Final = 32
TOOL_TITLE: Final = bytes.fromhex("4F414DF000000001")  # ours, where none is given
MECHANISMS: Final[Mapping[str, Mechanism]] = {
    "none": Mechanism.LOWEST,
    "lls": Mechanism.LLS,
    "hls": Mechanism.HLS,
    "gmac": Mechanism.HLS_GMAC,
    "md5": Mechanism.HLS_MD5,
    "sha1": Mechanism.HLS_SHA1,
    "sha256": Mechanism.HLS_SHA256,
    "ecdsa": Mechanism.HLS_ECDSA,
}
SECRET_MECHANISMS: Final = frozenset(
    {
        Mechanism.LLS,
        Mechanism.HLS,
        Mechanism.HLS_MD5,
        Mechanism.HLS_SHA1,
        Mechanism.HLS_SHA256,
    }
)
TITLED_MECHANISMS: Final = frozenset({Mechanism.HLS_SHA256, Mechanism.HLS_ECDSA})
"""Their proofs hold both system titles."""
CLIENTS: Final[Mapping[Mechanism, int]] = {
    Mechanism.LOWEST: PUBLIC_CLIENT,
    Mechanism.LLS: READER,
}
"""Other mechanisms are the manager's."""
MECHANISM_OF: Final[Mapping[int, Mechanism]] = {
    PUBLIC_CLIENT: Mechanism.LOWEST,
    READER: Mechanism.LLS,
}


def mechanism(text: str) -> Mechanism:
    """Read the name of an authentication mechanism."""
    try:
        return MECHANISMS[text.lower()]
    except KeyError:
        raise ValueError(f"must be one of {', '.join(MECHANISMS)}") from None


def suite(text: str) -> SecuritySuite:
    """Read the number of a security suite."""
    if text not in {str(int(each)) for each in SecuritySuite}:
        raise ValueError(f"must be a security suite, 0 to {int(HIGHEST_SUITE)}")
    return SecuritySuite(int(text))


PARSERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "client": sap,
    "server": sap,
    "mechanism": mechanism,
    "secret": secret,
    "guek": octets(16, 32),
    "gak": octets(16, 32),
    "kek": octets(16, 32),
    "suite": suite,
    "envelope": one_of(*ENVELOPES),
    "general_header": one_of(*HEADERS),
    "cipher": one_of(*CIPHERS),
    "dedicated": switch,
    "sign": switch,
    "sign_key": Path,
    "sign_cert": Path,
    "agree_key": Path,
    "meter_certs": Path,
    "title": octets(8),
    "peer_title": octets(8),
    "ca": Path,
    "cert": Path,
    "key": Path,
    "keys": Path,
    "counter": number,
    "timeout": seconds,
    "server_address": server_address,
    "address_size": address_size,
    "window": window,
    "max_info": information,
    "baud": speed,
    "mode_e": switch,
    "gateway": gateway,
    "coap_payload": one_of("frame", "apdu"),
    "coap_confirm": switch,
    "coap_block": block_exponent,
    "general_blocks": switch,
    "block_window": block_window,
    "max_pdu": pdu_octets,
    "short_names": switch,
    "plain_context": switch,
}
SHOWN: Final = frozenset(PARSERS) - {"secret", "guek", "gak", "kek"}  # may stand in an error
FILES: Final = frozenset(name for name, parser in PARSERS.items() if parser is Path)
PROTECTION: Final = frozenset(row.name for row in fields(Protection))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """How to reach a meter and who to be there; None where nothing was said."""

    client: int | None = None
    server: int = MANAGEMENT_LOGICAL_DEVICE
    mechanism: Mechanism | None = None
    secret: bytes | None = field(default=None, repr=False)
    guek: bytes | None = field(default=None, repr=False)
    gak: bytes | None = field(default=None, repr=False)
    title: bytes | None = None
    peer_title: bytes | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    keys: Path | None = None
    counter: int | None = None
    timeout: float = 10.0
    server_address: tuple[int, int] | None = None
    address_size: int | None = None
    window: int | None = None
    max_info: int | None = None
    baud: int = 9600
    mode_e: bool = False
    gateway: GatewayRoute | None = None
    coap_payload: str = "frame"
    coap_confirm: bool = True
    coap_block: int = LARGEST_EXPONENT
    general_blocks: bool = False
    block_window: int = DEFAULT_WINDOW
    max_pdu: int = UNLIMITED_PDU_OCTETS
    short_names: bool = False
    plain_context: bool = False
    ciphered: bool = False  # whether --cipher was said, and not `none`
    protection: Protection = field(default_factory=Protection)

    @classmethod
    def gather(cls, given: Mapping[str, str | None], config: Path | None) -> "ReadOptions":
        """Join command line and file.

        Args:
            given: What stands on the command line, by name; None for nothing.
            config: A TOML file of the same names, or None.

        Raises:
            UserError: A value that cannot be used, with its place.
        """
        said = _from_file(config) if config else {}
        for name, text in given.items():
            if text is not None:
                said[name] = _parse(name, text, f"--{name.replace('_', '-')}")
        if (path := said.get("keys")) is not None:
            said = _from_keys(path, said) | said
        if "block_window" in said and not said.get("general_blocks"):
            sentence = "--block-window is of general block transfer, and none is asked for"
            raise UserError(f"{sentence}: give --general-blocks yes", ExitCode.ASKED_WRONGLY)
        ciphered = said.get("cipher", "none") != "none"
        how = {name: said.pop(name) for name in PROTECTION & said.keys()}
        return cls(**said, ciphered=ciphered, protection=Protection(**how))

    def parameters(self, own_title: bytes | None = None) -> ClientParameters:
        """Return who to be towards the meter.

        Args:
            own_title: The title of our certificate, if we have one.
        """
        chosen, client = self._role()
        protection = self.protection
        suite_ = protection.suite_for(self.guek)
        if chosen in SECRET_MECHANISMS and self.secret is None:
            raise _missing("a password", "--secret, or --keys with the meter's keys.json")
        cipher = self._cipher(chosen, suite_)
        titled = cipher is not None or chosen in TITLED_MECHANISMS
        return ClientParameters(
            client_sap=client,
            server_sap=self.server_address[0] if self.server_address else self.server,
            mechanism=chosen,
            secret=(self.secret or b"") if chosen in SECRET_MECHANISMS else b"",
            cipher=cipher,
            plain_context=self.plain_context,
            system_title=(self.title or own_title or TOOL_TITLE) if titled else self.title or b"",
            server_title=self.peer_title or b"",
            policy=protection.policy,
            control=protection.control(suite_) if cipher else None,
            general=protection.general,
            scheme=protection.scheme,
            general_header=HEADERS[protection.general_header],
            dedicated_key=protection.dedicated_key(suite_) if cipher else None,
            credentials=protection.credentials(suite_, proves=chosen is Mechanism.HLS_ECDSA),
            sign=protection.sign,
            short_names=BaseNames() if self.short_names else None,
            conformance=WITH_GENERAL_BLOCKS if self.general_blocks else DEFAULT_CONFORMANCE,
            block_window=self.block_window,
            max_receive_pdu_octets=self.max_pdu,
        )

    @property
    def protects_fully(self) -> bool:
        """Whether services have all protection that there is, or no keys are in play."""
        return self.guek is None or self.protection.cipher == "both"

    def _cipher(self, chosen: Mechanism, suite_: SecuritySuite) -> Cipher | None:
        """Return the global keys, where this client's context is ciphered."""
        held = self.guek is not None
        wanted = chosen is Mechanism.HLS_GMAC or self.ciphered
        if not wanted and not (held and chosen.is_hls and self.protection.cipher != "none"):
            return None
        if self.guek is None or (self.gak is None and self.protection.cipher != "encrypted"):
            raise _missing("keys", "--guek and --gak, or --keys with the meter's keys.json")
        try:
            keys = KeySet(
                suite=suite_, encryption_key=self.guek, authentication_key=self.gak or b""
            )
        except DlmsError as error:
            sentence = f"keys do not fit suite {suite_:d} ({error}): give --suite"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
        return Cipher(keys)

    def hdlc(self) -> HdlcSettings:
        """Return how to speak HDLC."""
        most = GENEROUS
        parameters = LinkParameters.symmetric(
            self.max_info or most.max_information_transmit_octets,
            self.window or most.window_transmit,
        )
        return HdlcSettings(
            physical=self.server_address[1] if self.server_address else 0,
            address_octets=self.address_size,
            parameters=parameters,
            timings=LinkTimings(octet_s=BITS_PER_OCTET / self.baud),
            baud=self.baud,
            mode_e=self.mode_e,
        )

    def coap(self) -> CoapSettings:
        """Return how to speak CoAP."""
        return CoapSettings(
            bare=self.coap_payload == "apdu",
            confirmable=self.coap_confirm,
            client_sap=self._role()[1],
            server_sap=self.server,
            peer=PeerSettings(size_exponent=self.coap_block),
        )

    def secured(self, url: Url) -> Secured | None:
        """Return our side of TLS or DTLS, for an address that wants one."""
        if not url.encrypted:
            return None
        if self.ca is None or self.cert is None or self.key is None:
            raise _missing(f"a certificate for {url}", "--ca, --cert and --key")
        settings = client_tls(TlsIdentity(self.ca, self.cert, self.key))
        return Secured(settings, Expected(roles=frozenset({Role.METER}), title=self.peer_title))

    def _role(self) -> tuple[Mechanism, int]:
        """Return mechanism and client, each following from the other or from the secrets."""
        chosen, client = self.mechanism, self.client
        if chosen is None and client is not None and self.keys is not None:
            chosen = MECHANISM_OF.get(client, Mechanism.HLS_GMAC)
        if chosen is None and client != PUBLIC_CLIENT:
            if self.guek is not None and (self.secret is None or client == MANAGER):
                chosen = Mechanism.HLS_GMAC
            elif self.secret is not None:
                chosen = Mechanism.LLS
        chosen = Mechanism.LOWEST if chosen is None else chosen
        return chosen, CLIENTS.get(chosen, MANAGER) if client is None else client


def _missing(what: str, remedy: str) -> UserError:
    return UserError(f"{what} is needed and none was given: {remedy}", ExitCode.ASKED_WRONGLY)


def _parse(name: str, text: str, place: str) -> Any:  # noqa: ANN401  each option has its type
    try:
        return PARSERS[name](text)
    except ValueError as error:
        shown = f" {text!r}" if name in SHOWN else ""
        why = str(error) if str(error).startswith("must") else f"cannot be read ({error})"
        raise UserError(f"{place}{shown} {why}", ExitCode.ASKED_WRONGLY) from None


def _from_file(path: Path) -> dict[str, Any]:
    """Read the TOML file; paths in it are relative to its folder."""
    said: dict[str, Any] = {}
    for key, value in read_toml(path, "give --config a TOML file of option names").items():
        name = key.replace("-", "_")
        if name not in PARSERS:
            known = ", ".join(sorted(PARSERS))
            raise ConfigurationError(
                f"{key} in {path} is no option of the meter tools: use {known}"
            )
        if isinstance(value, dict | list):
            raise ConfigurationError(f"{key} in {path} must be text or a number")
        said[name] = _parse(name, str(value), f"{key} in {path}")
        if name in FILES:
            said[name] = path.parent / said[name]
    return said


def _from_keys(path: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """Take from a meter's `keys.json` what the client needs, and the meter's title."""
    remedy = "give --keys the keys.json of the meter"
    found = read_json(path, remedy)
    try:
        title = bytes.fromhex(found["title"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} names no meter: {remedy}") from error
    if found.get("format") == READER_FORMAT:
        return {"peer_title": title, "secret": _readers_secret(path, found, said)}
    keys = MeterKeys.load(path, title)
    taken: dict[str, Any] = {"peer_title": title, "guek": keys.guek, "gak": keys.gak}
    if keys.suite:
        taken["suite"] = keys.suite
    if said.get("envelope") == "wrapped":
        taken["kek"] = keys.kek
    if said.get("client") == READER or said.get("mechanism") in SECRET_MECHANISMS:
        taken["secret"] = keys.lls
    return taken


def _readers_secret(path: Path, found: Mapping[str, Any], said: Mapping[str, Any]) -> bytes:
    """Take the one secret of a file for tools that only read."""
    if said.get("client") != READER:
        remedy = f"read as --client {READER}; the meter's other keys are in its secure world"
        raise ConfigurationError(f"{path} holds the reader's secret alone: {remedy}")
    try:
        return bytes.fromhex(found["lls"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} holds no secret of a reader") from error


def refusal(url: Url, error: DlmsError, *, whole: bool = True) -> UserError:
    """Return the sentence for a meter that refused or broke a rule.

    Args:
        url: Where it is.
        error: What it said.
        whole: Whether services are authenticated and encrypted, or plain because nobody wants it
            otherwise: a meter that asks for more says no more than that it cannot decipher.
    """
    remedy = ""
    if not whole and isinstance(error, AssociationError):
        remedy = ", or give --cipher both: the meter may ask for more protection"
    if isinstance(error, SecurityError) and error.place == CREDENTIALS:
        remedy = ": give it by --sign-key, --agree-key, --meter-certs or --kek"
    return UserError(f"{url}: {error}{remedy}")
