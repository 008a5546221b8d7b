# SPDX-License-Identifier: Apache-2.0
"""What a simulated meter's objects need of their host: tokens for trying out, guarded
ports, and the keys behind data protection.

A token of a simulated account has 20 digits: a number of 8, an amount of 10 in steps of the
account's currency, and two check digits after ISO/IEC 7064, MOD 97-10, as in an IBAN.  Whoever can
count can make one: it pays for nothing, and no vending system knows it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from openami.cli.simulated_keys import ManagersKeys
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.layers import LayerKeys
from openami.cosem.behaviour.port_protection import PortProtection
from openami.cosem.behaviour.token_gateway import DecodedToken, TokenRefused
from openami.cosem.classes.internet import TcpUdpSetup
from openami.cosem.classes.protection import DataProtection
from openami.cosem.classes.setup_ports import IecHdlcSetup, IecLocalPortSetup
from openami.cosem.device import LogicalDevice
from openami.cosem.dump import Dump
from openami.cosem.rights import Grant
from openami.cosem.simulation import grants
from openami.dlms.obis import Obis
from openami.dlms.security.counters import ReceiveWindow, Windows
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


class TrialProtection:
    """A `KeyRing` and a `Scope`: the manager reaches through data protection what it may without.

    Layers have windows of their own: the same keys count inside of an APDU and around it.
    """

    def __init__(self, device: LogicalDevice, held: ManagersKeys, dump: Dump) -> None:
        self._device, self._held = device, held
        self._grants = {each.at: each for each in grants(dump) if not each.protection}
        self._windows: dict[tuple[bytes, bytes], tuple[ReceiveWindow, Windows]] = {}

    def keys(self, peer_title: bytes) -> LayerKeys:
        """Return the manager's keys: whoever has them is the manager."""
        ciphering = self._held.ciphering
        window, windows = self._windows.setdefault(
            (peer_title, ciphering.cipher.keys.encryption_key), (ReceiveWindow(), Windows())
        )
        return LayerKeys(
            own_title=self._device.system_title,
            peer_title=peer_title,
            cipher=ciphering.cipher,
            counters=ciphering.counters,
            form=ciphering.form,
            credentials=self._held.credentials(),
            window=window,
            windows=windows,
        )

    def may_read(self, class_id: int, at: Obis, attribute: int) -> bool:
        grant = self._grant(class_id, at)
        return grant is not None and attribute in grant.read

    def may_write(self, class_id: int, at: Obis, attribute: int) -> bool:
        grant = self._grant(class_id, at)
        return grant is not None and attribute in grant.write

    def may_invoke(self, class_id: int, at: Obis, method: int) -> bool:
        grant = self._grant(class_id, at)
        return grant is not None and method in grant.invoke

    def _grant(self, class_id: int, at: Obis) -> Grant | None:
        # One data protection inside another would have no end.
        return None if class_id == DataProtection.class_id else self._grants.get(at)
