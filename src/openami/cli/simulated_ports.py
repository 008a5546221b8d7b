# SPDX-License-Identifier: Apache-2.0
"""What a simulated meter's objects need of their host: tokens for trying out, guarded ports.

A token of a simulated account has 20 digits: a number of 8, an amount of 10 in steps of the
account's currency, and two check digits after ISO/IEC 7064, MOD 97-10, as in an IBAN.  Whoever can
count can make one: it pays for nothing, and no vending system knows it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.port_protection import PortProtection
from openami.cosem.behaviour.token_gateway import DecodedToken, TokenRefused
from openami.cosem.classes.internet import TcpUdpSetup
from openami.cosem.classes.setup_ports import IecHdlcSetup, IecLocalPortSetup
from openami.transport.url import Scheme

DIGITS: Final = 20
_NUMBER, _AMOUNT = slice(0, 8), slice(8, 18)
_HDLC: Final = frozenset({"hdlc+tcp", "hdlc+serial"})


@dataclass(slots=True)
class TrialTokens:
    """A `TokenDecoder`: knows the tokens of this module, and takes each number once."""

    _used: set[bytes] = field(default_factory=set)

    def parse(self, token: bytes) -> DecodedToken:
        """Read the digits."""
        if len(token) != DIGITS or not token.isdigit():
            raise TokenRefused
        return DecodedToken(
            value=int(token[_AMOUNT]), description=(b"payment, for trying out",), octets=token
        )

    def authenticate(self, token: DecodedToken) -> None:
        """See that the check digits are right; nothing proves who made it."""
        if int(token.octets) % 97 != 1:
            raise TokenRefused

    def validate(self, token: DecodedToken) -> None:
        """See that its number was not used before."""
        if token.octets[_NUMBER] in self._used:
            raise TokenRefused

    def execute(self, token: DecodedToken) -> None:
        """Remember its number as long as this process runs."""
        self._used.add(token.octets[_NUMBER])


def trial_token(number: int, amount: int) -> str:
    """Return a token of 20 digits."""
    digits = f"{number:08}{amount:010}"
    return f"{digits}{98 - int(digits) * 100 % 97:02}"


class Guard(NamedTuple):
    """Who guards a port, and the calendar that it goes by (microseconds UTC)."""

    protection: PortProtection
    now_us: Callable[[], int]


def guard_of(life: Life, scheme: Scheme) -> Guard | None:
    """Return the guard of a listener: the port protection whose port_reference is of its kind."""
    kinds = (
        {IecHdlcSetup.class_id, IecLocalPortSetup.class_id}
        if scheme in _HDLC
        else {TcpUdpSetup.class_id}
    )
    for each in life.acting.values():
        if isinstance(each, PortProtection):
            try:
                port = life.device[each.thing.port_reference]
            except KeyError:
                continue
            if port.class_id in kinds:
                return Guard(each, life.now_us)
    return None
