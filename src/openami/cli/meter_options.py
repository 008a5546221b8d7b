# SPDX-License-Identifier: Apache-2.0
"""The options that all tools for any meter share: where it is, who to be there, how to protect.

Each is handed on as text, by the name that it has in a `--config` file: `read_options` reads it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from openami.cli.read_options import MECHANISMS, PARSERS
from openami.cli.security_options import CIPHERS, ENVELOPES, HEADERS

Command = TypeVar("Command", bound=Callable[..., Any])

WORDS: Final[tuple[tuple[str, str], ...]] = (
    ("--client", "Client SAP.  [16 public, 32 with a secret, 1 with keys]"),
    ("--server", "Server SAP.  [1]"),
    ("--mechanism", f"{', '.join(MECHANISMS)}.  [follows from client and secrets]"),
    ("--secret", "Password of LLS, secret of HLS: text, or hex after 0x."),
    ("--guek", "Global unicast encryption key, 32 hex digits, 64 in suite 2."),
    ("--gak", "Authentication key, as long as the encryption key."),
    ("--title", "Our system title, 16 hex digits.  [the certificate's]"),
    ("--peer-title", "The meter's system title: no other may answer."),
    ("--keys", "A meter's keys.json: gives secret, keys and peer title."),
    ("--counter", "First invocation counter.  [the meter is asked]"),
    ("--suite", "Security suite, 0 to 2.  [follows from the keys]"),
    ("--cipher", f"{', '.join(CIPHERS)}: what protects services.  [both with keys]"),
    ("--envelope", f"{', '.join(ENVELOPES)}: how services travel.  [glo]"),
    (
        "--general-header",
        f"{', '.join(HEADERS)}: what the tag of general-ciphering covers.  [standard]",
    ),
    ("--dedicated", "A fresh dedicated key for this association, yes or no.  [no]"),
    ("--kek", "Master key, for --envelope wrapped."),
    ("--sign", "Sign services, yes or no.  [no]"),
    ("--sign-key", "Our private signing key (PEM), also for --mechanism ecdsa."),
    ("--sign-cert", "Our certificate for it, sent when associating."),
    ("--agree-key", "Our private key agreement key (PEM)."),
    ("--meter-certs", "The meter's certificates, and authorities to trust (PEM)."),
    ("--ca", "tls://, dtls://, coaps://: certificate of the authority (PEM)."),
    ("--cert", "The same: our certificate (PEM)."),
    ("--key", "The same: our private key (PEM)."),
    ("--timeout", "Seconds for the connection and for each answer.  [10]"),
    ("--general-blocks", "General block transfer where the meter grants it, yes or no.  [no]"),
    ("--block-window", "The same: most blocks that we take in one go, 1 to 63.  [16]"),
    ("--max-pdu", "Longest APDU that we take: what is longer comes in blocks.  [65535]"),
    ("--server-address", "hdlc: logical and physical address, L/P."),
    ("--address-size", "hdlc: octets of server addresses.  [the smallest]"),
    ("--window", "hdlc: most frames without a pause.  [7]"),
    ("--max-info", "hdlc: most octets of information in a frame.  [2030]"),
    ("--baud", "hdlc+serial: speed of the line.  [9600]"),
    ("--gateway", "The meter is behind a gateway: NETWORK/ADDRESS, the address in hex."),
    ("--coap-payload", "coap://: frame (wrapper) or apdu (bare).  [frame]"),
    ("--coap-confirm", "coap://: repeat until acknowledged, yes or no.  [yes]"),
    ("--coap-block", "coap://: octets in a block, 16 to 1024.  [1024]"),
    ("--plain-context", "Keys prove who we are and protect nothing else, yes or no.  [no]"),
    ("--short-names", "Refer to objects by short name (SN), yes or no.  [no]"),
    ("--mode-e", "hdlc+serial: open at 300 baud as an optical port, yes or no.  [no]"),
)


def meter_options(command: Command) -> Command:
    """Give a command the shared options, and `--config`."""
    config = click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        help="TOML file with these options by name; keeps secrets off the command line.",
    )
    command = config(command)
    for flag, words in reversed(WORDS):
        if flag[2:].replace("-", "_") not in PARSERS:
            raise KeyError(f"{flag} has no reader in read_options.PARSERS")
        command = click.option(flag, metavar="VALUE", help=words)(command)
    return command
