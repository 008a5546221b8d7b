# SPDX-License-Identifier: Apache-2.0
"""Looking for meters and for what they offer: addresses, clients, logical devices.

HDLC has no directory: the only way to learn which server addresses are there is to call each and to
wait.  The same holds for client SAPs.  A probe is a short association without a secret: that it is
refused for want of one is an answer too.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from openami.cli.connecting import Meter, Stop
from openami.cosem.client import ClientParameters
from openami.cosem.refusals import AssociationError
from openami.dlms.apdu.acse import AcseServiceUser, Diagnostic
from openami.dlms.errors import DlmsError
from openami.dlms.sap import PUBLIC_CLIENT
from openami.runtime.errors import ExitCode, UserError
from openami.transport.client import open_session
from openami.transport.hdlcpoint import dial_hdlc, link_pair
from openami.transport.session import SessionHandler, SessionTimeoutError
from openami.transport.wire import Limits, WireError

CLIENTS: Final = (16, 1, 2, 3, 17, 18, 32, 33, 48, 64, 96, 100, 102)
"""Client SAPs that meters in the field use, the public one first."""
MEANINGS: Final[Mapping[Diagnostic, str]] = {
    AcseServiceUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED: "wants keys",
    AcseServiceUser.AUTHENTICATION_MECHANISM_NAME_REQUIRED: "wants a password or keys",
    AcseServiceUser.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED: "wants a password or keys",
    AcseServiceUser.AUTHENTICATION_REQUIRED: "wants a password or keys",
    AcseServiceUser.AUTHENTICATION_FAILURE: "wants a password or keys",
    AcseServiceUser.CALLING_AP_TITLE_NOT_RECOGNIZED: "wants a system title",
}
"""What a refusal says of a client that gave no secret."""
SILENT: Final = "did not answer within"
REFUSES: Final = "the meter refuses the link"
"""What a dialled line says where nobody answers, and where a server does not want to."""
MODE_E_S: Final = 5.0
"""How long the opening of an optical port at 300 baud may take."""
PARTS: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
MOST: Final = 65_536

Told = Callable[[float, float, str], None]


def numbers(place: str, text: str, most: int) -> list[int]:
    """Read `1,16-20`.

    Raises:
        UserError: It is no list of numbers.
    """
    found: list[int] = []
    for part in text.split(","):
        match = PARTS.fullmatch(part.strip())
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high or high > most:
            sentence = f"{place} {text!r} is no list of numbers up to {most}: write 1,16-20"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        found += range(low, high + 1)
    if len(found) > MOST:
        raise UserError(f"{place} names {len(found)} numbers: give less", ExitCode.ASKED_WRONGLY)
    return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A server address on HDLC."""

    octets: int
    logical: int
    physical: int

    def __str__(self) -> str:
        return f"{self.logical}/{self.physical} in {self.octets} octet{'s' * (self.octets > 1)}"

    @property
    def options(self) -> str:
        """How to say it on the command line."""
        return f"--server-address {self.logical}/{self.physical} --address-size {self.octets}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client SAP was told.

    Attributes:
        is_known: Whether the meter knows this client.
        is_open: Whether it associates without a secret.
        words: The answer in words.
    """

    client: int
    is_known: bool
    is_open: bool
    words: str


def addresses(
    sizes: Sequence[int], logical: Sequence[int], physical: Sequence[int]
) -> Iterator[Address]:
    """Yield the addresses that can be; one octet has no room for a physical device."""
    for size in sizes:
        most = 0x7F if size < 4 else 0x3FFF
        for upper in logical:
            for lower in physical if size > 1 else (0,):
                if upper <= most and lower <= most:
                    yield Address(size, upper, lower)


@dataclass(slots=True)
class Servers:
    """Which server addresses answered: with a link, or by refusing one."""

    linking: list[Address] = field(default_factory=list)
    refusing: list[Address] = field(default_factory=list)


async def find_servers(
    meter: Meter, candidates: Sequence[Address], timeout_s: float, stop: Stop, told: Told
) -> Servers:
    """Call each server address and return those that answer.

    Raises:
        WireError: The line itself cannot be opened.
    """
    found = Servers()
    for number, each in enumerate(candidates):
        if stop.asked:
            break
        count = len(found.linking) + len(found.refusing)
        told(number, len(candidates), f"server {each}, {count} found")
        try:
            await _call(meter, each, timeout_s)
        except WireError as error:
            if REFUSES in str(error):
                found.refusing.append(each)
            elif SILENT not in str(error) and not number:
                raise  # a line that cannot be opened for the first is open for none
        else:
            found.linking.append(each)
    return found


async def _call(meter: Meter, address: Address, timeout_s: float) -> None:
    """Open a link and close it; raises `WireError` if none comes up."""
    settings = replace(
        meter.options.hdlc(),
        physical=address.physical,
        address_octets=address.octets,
        link_s=timeout_s,
    )
    client = meter.options.client or PUBLIC_CLIENT
    wire = await dial_hdlc(
        meter.url,
        lambda carrier: SessionHandler(carrier, client, address.logical, timeout_s),
        link_pair(client, address.logical, settings),
        settings=settings,
        limits=Limits(connect_timeout_s=timeout_s + (MODE_E_S if settings.mode_e else 0.0)),
    )
    wire.close()
    await wire.gone()


async def find_clients(
    meter: Meter, clients: Sequence[int], timeout_s: float, stop: Stop, told: Told
) -> list[Answer]:
    """Try to associate as each client, without a secret."""
    found: list[Answer] = []
    for number, client in enumerate(clients):
        if stop.asked:
            break
        told(number, len(clients), f"client {client}")
        found.append(await _probe(meter, client, timeout_s))
    return found


async def _probe(meter: Meter, client: int, timeout_s: float) -> Answer:
    parameters = ClientParameters(client_sap=client, server_sap=meter.parameters.server_sap)
    try:
        async with open_session(
            meter.url,
            parameters,
            secured=meter.secured,
            timeout_s=timeout_s,
            hdlc=meter.options.hdlc(),
        ):
            return Answer(client, is_known=True, is_open=True, words="associates without a secret")
    except AssociationError as error:
        known = error.diagnostic is not AcseServiceUser.NO_REASON_GIVEN
        words = str(error.diagnostic)
        if (meaning := MEANINGS.get(error.diagnostic)) is not None:
            words = f"{meaning} ({words})"
        return Answer(client, is_known=known, is_open=False, words=words)
    except DlmsError as error:
        return Answer(client, is_known=False, is_open=False, words=str(error))
    except SessionTimeoutError:
        return Answer(client, is_known=False, is_open=False, words="no answer")
    except WireError as error:
        if client == PUBLIC_CLIENT and "refused the connection" in str(error):
            raise
        return Answer(client, is_known=False, is_open=False, words=f"no answer: {error}")
